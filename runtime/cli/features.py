"""`georun features`: the descriptors of a photograph, as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..engines import Device


@click.command()
@click.argument("image")
@click.option("--out", required=True, metavar="NPZ", help="File to write.")
@click.option("--bundle", metavar="NAME|DIR", help="Bundle to use (the lite that ships).")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]),
    default="auto",
    show_default=True,
)
def features(image: str, out: str, bundle: str | None, device: Device) -> None:
    """Write the descriptors of IMAGE to an .npz file.

    It holds descriptors (rows, cols, channels), the frame's numbers, and the bundle's hash;
    geoaware.runtime.FeatureMap.load reads it back.
    """
    from ..files import check_writable, replacing
    from ..pipeline import Pipeline

    check_writable(out)
    pipeline = Pipeline.load(bundle, device)
    if device == "auto":
        click.echo(f"device: {pipeline.device} (chosen by auto)", err=True)
    feature_map = pipeline.extract(image)
    with replacing(out) as file:
        feature_map.save(file)
    rows, columns, channels = feature_map.descriptors.shape
    click.echo(f"{out}: {rows} x {columns} cells, {channels} channels")
