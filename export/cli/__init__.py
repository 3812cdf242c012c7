"""`geoexport`: builds, verifies, proves and shows bundles."""

from __future__ import annotations

import click

from ...runtime.cli.group import OneLineErrors
from .build import build
from .listing import list_
from .prove import prove
from .show import show
from .verify import verify


@click.group(cls=OneLineErrors)
@click.version_option(package_name="geoaware")
def geoexport() -> None:
    """Turn recipes into verified bundles of ONNX models and engines."""


geoexport.add_command(build)
geoexport.add_command(prove)
geoexport.add_command(verify)
geoexport.add_command(list_)
geoexport.add_command(show)
