"""Matches as JSON for programs and as a table for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from ..manifest import Manifest
from ..matches import Matches
from ..recipe import Matching

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Picture:
    """An image a user named, loaded."""

    path: str
    image: Image.Image

    def as_json(self) -> dict[str, Any]:
        """Its path and its size in pixels."""
        return {"path": self.path, "width": self.image.width, "height": self.image.height}


@dataclass(frozen=True)
class Result:
    """One source matched to one target."""

    source: Picture
    target: Picture
    matches: Matches
    timings_ms: dict[str, float]


def as_json(result: Result, manifest: Manifest, matching: Matching) -> dict[str, Any]:
    """The JSON object of a result; coordinates are original-image pixels."""
    matches = result.matches
    rows = zip(matches.source, matches.target, matches.similarity, matches.mutual, strict=True)
    return {
        "schema_version": SCHEMA_VERSION,
        "source": result.source.as_json(),
        "target": result.target.as_json(),
        "bundle": {
            "name": manifest.name,
            "hash": manifest.hash(),
            "precision": manifest.precision,
        },
        "method": matching.model_dump(exclude_none=True),
        "timings_ms": {name: round(value, 2) for name, value in result.timings_ms.items()},
        "matches": [
            {
                "source": [round(float(value), 3) for value in source],
                "target": [round(float(value), 3) for value in target],
                "similarity": round(float(similarity), 5),
                "mutual": bool(mutual),
            }
            for source, target, similarity, mutual in rows
        ],
    }


def print_table(result: Result) -> None:
    """Print a result as a small table on stdout."""
    table = Table(title=f"{result.source.path} → {result.target.path}", title_justify="left")
    for name in ("#", "source x", "source y", "target x", "target y", "similarity"):
        table.add_column(name, justify="right")
    table.add_column("mutual", justify="center")
    matches = result.matches
    for number, (source, target, similarity, mutual) in enumerate(
        zip(matches.source, matches.target, matches.similarity, matches.mutual, strict=True), 1
    ):
        coordinates = [f"{value:.1f}" for value in (*source, *target)]
        table.add_row(str(number), *coordinates, f"{similarity:.3f}", "yes" if mutual else "")
    Console().print(table if len(matches) else f"{result.target.path}: no match is left")
