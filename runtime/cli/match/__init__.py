"""`georun match`: points of one photograph, found in others."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import click

from ..method import method_options
from ..options import bundle_option, device_option

if TYPE_CHECKING:
    from ...engines import Device


@click.command()
@click.argument("source")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option("--points", metavar='"X,Y X,Y…"', help="Points of SOURCE, in its pixels.")
@click.option(
    "--points-file", metavar="FILE", help="Points from .json [[x, y], …] or .csv with columns x,y."
)
@click.option(
    "--grid", type=click.IntRange(1, 200), metavar="N", help="N x N points over SOURCE (5)."
)
@bundle_option
@click.option("--build", is_flag=True, help="Build the bundle on the way if it is not there.")
@method_options
@device_option
@click.option("--mutual", is_flag=True, help="Keep mutual nearest neighbours only.")
@click.option(
    "--min-similarity", type=click.FloatRange(-1, 1), help="Keep matches at least this similar."
)
@click.option("--draw", metavar="PNG", help="Draw the matches, one row per target.")
@click.option("--out", metavar="JSON", help="Write the matches as JSON.")
@click.option(
    "--json", "to_stdout", is_flag=True, help="Print JSON: an object; a list for several targets."
)
def match(
    source: str,
    targets: tuple[str, ...],
    points: str | None,
    points_file: str | None,
    grid: int | None,
    bundle: str | None,
    build: bool,
    device: Device,
    mutual: bool,
    min_similarity: float | None,
    draw: str | None,
    out: str | None,
    to_stdout: bool,
    **method: Any,
) -> None:
    """Find points of SOURCE in each TARGET.

    Points are x,y in original-image pixels from the top left corner, x to the right, y down.
    """
    from ...files import check_writable
    from .outputs import write
    from .points import read_points
    from .session import Session

    taken = {os.path.realpath(path) for path in (source, *targets, points_file) if path}
    for path in filter(None, (draw, out)):
        check_writable(path)
        if os.path.realpath(path) in taken:
            raise click.UsageError(f"{path}: would replace an input or another output")
        taken.add(os.path.realpath(path))
    if min_similarity is not None and math.isnan(min_similarity):
        raise click.UsageError("--min-similarity must be a number")
    asked = read_points(points, points_file, grid)
    session = Session.open(bundle, build, device, method)
    results = session.match(source, targets, asked, mutual, min_similarity)
    write(results, session, draw, out, to_stdout)
