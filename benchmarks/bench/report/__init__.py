"""Tables and plots of result files: what `georun bench --report` writes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from geoaware.runtime.doctor import require
from geoaware.runtime.errors import GeoAwareError
from geoaware.runtime.files import replacing

from .latest import Latest, machines
from .markdown import joined
from .summary import summary_table
from .tables import (
    READING,
    evaluation_table,
    features_table,
    machine_table,
    match_table,
    matching_table,
    work_table,
)
from .targets import targets_table

__all__ = ["machines", "summary_table", "tables", "targets_table", "write"]

_TABLES = {
    "features": ("Features", features_table),
    "matching": ("Matching", matching_table),
    "match": ("The whole match", match_table),
    "evaluation": ("Evaluation", evaluation_table),
    "work": ("Cost against work", work_table),
    "machine": ("The machine", machine_table),
}


def tables(machine: Latest) -> dict[str, str]:
    """The tables of a machine by their titles, in the order of a report."""
    suites = [suite for suite in _TABLES if suite in machine.runs]
    held = {_TABLES[suite][0]: _TABLES[suite][1](machine) for suite in suites}
    return {"In short": summary_table(machine), "Targets": targets_table(machine)} | held


def write(files: Sequence[Path], folder: Path) -> list[Path]:
    """Write report.md and its plots, as PNG, to a folder; return the paths, the report's first.

    files: result files. Of every machine in them, the newest run that holds a suite is taken for
    that suite.

    Raises GeoAwareError where matplotlib is missing or a file cannot be written, and what
    `rows.read` raises.
    """
    require("eval", "the report of benchmarks")
    from . import plots

    found = machines(files)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GeoAwareError(f"{folder}: cannot be made: {error.strerror}") from None
    blocks, pictures = ["# Benchmarks", READING], []
    for machine in found:
        drawn = plots.draw(machine)
        names = {title: f"{_slug(machine.machine)}-{_slug(title)}.png" for title in drawn}
        blocks += _section(machine, names)
        for title, content in drawn.items():
            pictures.append(_written(folder / names[title], content))
    return [_written(folder / "report.md", joined(*blocks).encode() + b"\n"), *pictures]


def _section(machine: Latest, pictures: dict[str, str]) -> Iterator[str]:
    """What is said of one machine: tables, and below each the plot of its title."""
    yield f"## {machine.machine}"
    found = tables(machine)
    for title in dict.fromkeys([*found, *pictures]):
        yield f"### {title}"
        yield found.get(title, "")
        if title in pictures:
            yield f"![{title}]({pictures[title]})"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _written(path: Path, content: bytes) -> Path:
    with replacing(path) as file:
        file.write(content)
    return path
