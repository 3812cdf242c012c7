"""What a run of the benchmarks was asked to measure."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from typing import Protocol

from geoaware.runtime.engines import Device
from geoaware.runtime.errors import InputError

from .timing import Pace


@dataclass(frozen=True)
class Sizes:
    """What the suite `matching` measures.

    grids: sides of square grids. channels: of a descriptor. points: None for all cells.
    """

    grids: tuple[int, ...] = (32, 37, 60)
    channels: tuple[int, ...] = (256, 768, 3968)
    points: tuple[int | None, ...] = (1, 12, 64, None)


@dataclass(frozen=True)
class Settings:
    """What every suite is asked to measure.

    threads: CPU threads of every contender alike.
    frames: sides of the square frames; empty for each recipe's own.
    device: what our own contender runs on.
    """

    threads: int
    recipes: tuple[str, ...]
    precisions: tuple[str, ...] = ("fp32", "int8")
    frames: tuple[int, ...] = ()
    batches: tuple[int, ...] = (1, 2)
    device: Device = "auto"
    pace: Pace = field(default_factory=Pace)
    sizes: Sizes = Sizes()


class Watch(Protocol):
    """What a suite tells while it works."""

    def note(self, line: str) -> None:
        """Say what is measured now."""


def check_recipe(name: str) -> None:
    """Raise InputError where no recipe of this name ships."""
    folder = files("geoaware.export") / "recipes"
    names = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir())
    if name not in names:
        raise InputError(f"no recipe {name!r}; use {', '.join(names)}")
