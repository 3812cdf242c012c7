"""`run.json`: what a run of training was, so that its numbers can be had again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..runtime.errors import GeoAwareError, InputError
from ..runtime.machine import hardware, versions
from .checkpoint import write_json

NAME = "run.json"
SCHEMA_VERSION = 1

_VERSIONS_OF = ("geoaware", "torch", "accelerate", "numpy", "pillow", "safetensors")


def prepare(folder: Path, resume: bool) -> None:
    """Make a run's folder. Raises InputError where it holds a run that is not gone on with."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from None
    if resume and not (folder / NAME).exists():
        raise InputError(f"{folder}: holds no run to go on with; leave out --resume")
    if not resume and (folder / NAME).exists():
        raise InputError(f"{folder}: holds a run; go on with --resume, or name another --out")


def write(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write what a run is, on which machine; a run that is gone on with keeps its first record."""
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


def _git() -> str | None:
    """The commit of the code that runs, with `-dirty` where it was changed; None outside git."""
    command = ["git", "describe", "--always", "--dirty"]
    here = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None
