"""What `georun match` gives: a picture, a file, JSON or a table."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from ...files import replacing
from .report import Result, as_json, print_table
from .session import Session


def write(
    results: Sequence[Result], session: Session, draw: str | None, out: str | None, to_stdout: bool
) -> None:
    """Write what was asked for; a table where JSON on stdout was not."""
    reports = [as_json(result, session.manifest, session.matching) for result in results]
    content = json.dumps(reports if len(reports) > 1 else reports[0])
    if out:
        with replacing(out) as file:
            file.write(content.encode() + b"\n")
    if draw:
        _draw(results, draw)
    if to_stdout:
        click.echo(content)
        return
    for result in results:
        print_table(result)


def _draw(results: Sequence[Result], path: str) -> None:
    from ...drawing import draw_matches
    from ...images import load

    rows = [(load(result.target.path), result.matches) for result in results]
    with replacing(path) as file:
        draw_matches(load(results[0].source.path), rows).save(file, "PNG")
