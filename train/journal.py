"""What a run of training writes down as it goes: its metrics, a line a step."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..runtime.errors import GeoAwareError, InputError, first_line
from ..runtime.files import replacing
from .trackers import Tracker, trackers

NAME = "metrics.jsonl"


class Journal:
    """A run's `metrics.jsonl`, and whatever else its numbers are shown in.

    A line is an object of `step`, `time` (seconds of training, over all its interruptions) and
    numbers by name; one that is not finite is written as null. Lines are handed to the system one
    by one, so a process that is killed loses none but the one it was writing.

    Of the names `geotrain plot` knows two: what begins with `pck` is a validation in percent, and
    `pck` alone the one that decides; every other name gets a plot of its own.
    """

    def __init__(
        self, folder: Path, *, wandb: str | None = None, resume_at: int | None = None
    ) -> None:
        """Begin the journal of a run in a folder that is there.

        wandb: the project of Weights & Biases to report to; none without it.
        resume_at: the last step of an interrupted run that counts; lines of later ones are
        dropped. None begins a new journal, in the place of any that is there.

        Raises GeoAwareError where the file cannot be written or read, or wandb cannot be reached.
        """
        path = folder / NAME
        kept = [] if resume_at is None else [row for row in _rows(path) if row["step"] <= resume_at]
        with replacing(path) as file:
            file.writelines(_line(row).encode() for row in kept)
        self._began = time.monotonic() - (kept[-1]["time"] if kept else 0)
        self._trackers: list[Tracker] = trackers(folder, wandb, resume_at)
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, **values: float) -> None:
        """Add a line. Raises OSError where it cannot be written."""
        seconds = round(time.monotonic() - self._began, 3)
        self._file.write(_line({"step": step, "time": seconds, **values}))
        self._file.flush()
        for tracker in self._trackers:
            tracker.write(step, values)

    def close(self) -> None:
        """Write what is not written yet."""
        self._file.close()
        for tracker in self._trackers:
            tracker.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's journal in order, NaN where a number was not finite.

    A last line that was torn by a kill is left out. Raises InputError where the folder has no
    journal, GeoAwareError where a line before the last is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        raise InputError(f"{folder}: holds no {NAME}; name the folder of a run of geotrain")
    return list(_rows(path))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines of a journal; none where there is no file."""
    if not path.exists():
        return
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be read: {first_line(error)}") from None
    for number, line in enumerate(text.split("\n")[:-1], 1):
        try:
            row = json.loads(line)
            yield {name: math.nan if value is None else value for name, value in row.items()} | {
                "step": int(row["step"]),
                "time": float(row["time"]),
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            raise GeoAwareError(
                f"{path}: line {number} is damaged; remove it, and only its numbers are lost"
            ) from None


def _line(row: dict[str, Any]) -> str:
    """A row as JSON, which has no word for what is not finite."""
    finite = {name: value if math.isfinite(value) else None for name, value in row.items()}
    return json.dumps(finite) + "\n"
