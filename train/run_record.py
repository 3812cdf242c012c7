"""`run.json`: what a run of training was, so that its numbers can be had again."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from textwrap import shorten
from typing import Any

from ..runtime.errors import GeoAwareError, InputError
from ..runtime.evaluation.protocols import chosen
from ..runtime.evaluation.results import key
from ..runtime.machine import hardware, versions
from .checkpoint import write_json

NAME = "run.json"
SCHEMA_VERSION = 1

_VERSIONS_OF = ("geoaware", "torch", "accelerate", "numpy", "pillow", "safetensors")


def check(folder: Path, resume: bool) -> None:
    """Look at a run's folder, which `write` makes, before there is any work.

    Raises InputError where it cannot be made, and where it holds a run that is not gone on with.
    """
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise InputError(f"{folder}: cannot be made: {there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: cannot be made: {there} may not be written to")
    if resume and not (folder / NAME).exists():
        raise InputError(f"{folder}: holds no run to go on with; leave out --resume")
    if not resume and (folder / NAME).exists():
        raise InputError(f"{folder}: holds a run; go on with --resume, or name another --out")


def write(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write what a run is, on which machine, into its folder, which is made where it is not there.

    A run that is gone on with keeps its first record. Raises InputError where the folder cannot be
    made.
    """
    path = folder / NAME
    if path.exists():
        return
    made = {
        "schema_version": SCHEMA_VERSION,
        **facts,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "git": _git(),
        "versions": versions(_VERSIONS_OF),
        "hardware": hardware(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from None
    write_json(path, made)


def read(folder: Path) -> dict[str, Any]:
    """A run's record. Raises InputError where there is none, GeoAwareError for a damaged one."""
    path = folder / NAME
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except OSError:
        raise InputError(f"{folder}: holds no run of geotrain") from None
    except ValueError as error:
        raise GeoAwareError(f"{path}: damaged: {error}") from None
    return content


def check_same(folder: Path, what: str, was: Any, now: Any) -> None:
    """Raise InputError naming the first value that differs from the run in a folder.

    Where the dataset lies may differ: a folder is spelt in many ways, and data are told apart by
    their fingerprints.
    """
    for name, before, after in _differences(was, now):
        if name != "data.root":
            raise InputError(
                f"{folder}: holds a run with other {what} ({name}: {_shown(before)}, now "
                f"{_shown(after)}); give the same, or another --out"
            )


def measured(record: Mapping[str, Any]) -> str:
    """How the PCK of a run's validations is computed: `PCK@0.10 (box, 250 pairs)`."""
    settings = record["settings"]
    asked = settings["validation"]["protocol"]
    [protocol] = chosen(settings["data"]["dataset"], [asked] if asked else [])
    pairs = record["data"]["val_pairs"]
    return f"PCK@{key(settings['validation']['alpha'])} ({protocol.name}, {pairs:,} pairs)"


def _differences(was: Any, now: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The values that are not the same, by their dotted names."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for name in {**now, **was}:
            yield from _differences(was.get(name), now.get(name), f"{prefix}.{name}".lstrip("."))
    elif was != now:
        yield prefix, was, now


def _shown(value: Any) -> str:
    return "none" if value is None else shorten(str(value), 60, placeholder="…")


def _git() -> str | None:
    """The commit of the code that runs, with `-dirty` where it was changed; None outside git."""
    command = ["git", "describe", "--always", "--dirty"]
    here = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None
