"""`georun features`: the descriptors of a photograph, as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .options import bundle_option, device_option, load_pipeline

if TYPE_CHECKING:
    from ..engines import Device


@click.command()
@click.argument("image")
@click.option("--out", required=True, metavar="NPZ", help="File to write.")
@bundle_option
@device_option
def features(image: str, out: str, bundle: str | None, device: Device) -> None:
    """Write the descriptors of IMAGE to an .npz file.

    It holds descriptors (rows, cols, channels), the frame's numbers, and the bundle's hash;
    geoaware.runtime.FeatureMap.load reads it back.
    """
    from ..bundle import Bundle
    from ..files import check_writable, replacing

    check_writable(out)
    feature_map = load_pipeline(Bundle.open(bundle), device).extract(image)
    with replacing(out) as file:
        feature_map.save(file)
    rows, columns, channels = feature_map.descriptors.shape
    click.echo(f"{out}: {rows} x {columns} cells, {channels} channels")
