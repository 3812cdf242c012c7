"""`georun`: matches points between photographs."""

from __future__ import annotations

import click

from .bench import bench
from .compare import compare
from .data import data
from .doctor import doctor
from .eval import evaluate
from .extract import extract
from .features import features
from .group import OneLineErrors
from .mask import mask
from .match import match
from .pose_awareness import pose_awareness
from .store import store
from .tune import tune


@click.group(cls=OneLineErrors)
@click.version_option(package_name="geoaware")
def georun() -> None:
    """Find the point on one object that means the same as a point on another."""


for command in (
    match,
    mask,
    evaluate,
    compare,
    tune,
    pose_awareness,
    extract,
    store,
    data,
    features,
    bench,
    doctor,
):
    georun.add_command(command)
