"""Matches as JSON for programs and as a table for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...manifest import Manifest
from ...matches import Matches
from ...recipe import Matching
from ..console import print_line, print_numbers

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Picture:
    """An image a user named, and its size in pixels."""

    path: str
    width: int
    height: int


@dataclass(frozen=True)
class Result:
    """One source matched to one target."""

    source: Picture
    target: Picture
    matches: Matches
    timings_ms: dict[str, float]


def as_json(result: Result, manifest: Manifest, matching: Matching) -> dict[str, Any]:
    """The JSON object of a result; coordinates are original-image pixels."""
    return {
        "schema_version": SCHEMA_VERSION,
        "source": asdict(result.source),
        "target": asdict(result.target),
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
            for source, target, similarity, mutual in result.matches.rows()
        ],
    }


def print_table(result: Result) -> None:
    """Print a result as a small table on stdout."""
    title = f"{result.source.path} → {result.target.path}"
    if not len(result.matches):
        print_line(f"{title}: no match is left")
        return
    print_numbers(
        title,
        ("#", "source x", "source y", "target x", "target y", "similarity", "mutual"),
        [
            (
                str(number),
                *(f"{value:.1f}" for value in (*source, *target)),
                f"{similarity:.3f}",
                "yes" if mutual else "",
            )
            for number, (source, target, similarity, mutual) in enumerate(result.matches.rows(), 1)
        ],
    )
