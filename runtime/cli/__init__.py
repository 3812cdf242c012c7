"""`georun`: matches points between photographs."""

from __future__ import annotations

import click

from .doctor import doctor
from .features import features
from .group import OneLineErrors
from .match import match


@click.group(cls=OneLineErrors)
@click.version_option(package_name="geoaware")
def georun() -> None:
    """Find the point on one object that means the same as a point on another."""


georun.add_command(match)
georun.add_command(features)
georun.add_command(doctor)
