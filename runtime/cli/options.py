"""Options that several commands take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..engines import Device
    from ..pipeline import Pipeline

bundle_option = click.option(
    "--bundle", metavar="NAME|DIR", help="Bundle to use (the lite that ships)."
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]),
    default="auto",
    show_default=True,
)


def load_pipeline(bundle: Bundle, device: Device) -> Pipeline:
    """Load a bundle's models, and say on stderr which device `auto` chose."""
    from ..pipeline import Pipeline

    pipeline = Pipeline(bundle, device)
    if device == "auto":
        click.echo(f"device: {pipeline.device} (chosen by auto)", err=True)
    return pipeline
