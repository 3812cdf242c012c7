"""`geotrain`: trains projection heads and fine-tunes backbones."""

from __future__ import annotations

import click

from ...runtime.cli.group import OneLineErrors
from .extract import extract
from .finetune import finetune
from .head import head
from .plot import plot
from .presets import presets
from .sweep import sweep


@click.group(cls=OneLineErrors)
@click.version_option(package_name="geoaware")
def geotrain() -> None:
    """Learn from annotated pairs what makes bundles find points better."""


for command in (extract, head, presets, finetune, sweep, plot):
    geotrain.add_command(command)
