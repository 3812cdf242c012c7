"""What a benchmark's result is, and the files that hold results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geoaware.runtime.errors import GeoAwareError, InputError, first_line, first_problem
from geoaware.runtime.files import check_writable, replacing

OURS = "geoaware"
Suite = Literal["machine", "features", "matching", "match", "evaluation", "work"]
SUITES: tuple[Suite, ...] = get_args(Suite)
RATES = frozenset({"images/s", "pairs/s", "GFLOP/s", "GB/s"})  # of these, more is better


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Spread(_Strict):
    """Repeated measurements of one thing, in the unit of their row."""

    median: float
    p10: float
    p90: float
    p95: float
    p99: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of measurements; of a single one, that one."""
        p10, median, p90, p95, p99 = np.percentile(values, [10, 50, 90, 95, 99]).tolist()
        return cls(median=median, p10=p10, p90=p90, p95=p95, p99=p99, count=len(values))


class Row(_Strict):
    """One contender's figure in one case.

    case: what was done, such as {"recipe": "lite", "precision": "fp32", "frame": 512, "batch": 1};
        rows of a suite with equal case and unit stand beside each other.
    contender: OURS, or the rival.
    device: what ours ran on, as `--device` calls it; None where no model ran, and of rivals.
    spread: None where it was not measured; `missing` says why.
    difference: how far its results lie from ours, largest absolute difference.
    floor: the least that the counted operations and bytes take on this machine, in the row's unit.
    """

    suite: Suite
    case: dict[str, str | int]
    contender: str
    unit: str
    device: str | None = None
    spread: Spread | None = None
    missing: str | None = None
    difference: float | None = None
    floor: float | None = None


class Run(_Strict):
    """All rows of one call of `georun bench`, and where they come from."""

    command: str
    date: str
    commit: str
    hardware: dict[str, str | int | None]
    versions: dict[str, str]
    threads: int = Field(ge=1)
    rows: tuple[Row, ...]


class Results(_Strict):
    """A result file: runs on one machine and one day, in their order."""

    schema_version: Literal[1] = 1
    runs: tuple[Run, ...] = Field(min_length=1)


def read(path: Path) -> Results:
    """A result file. Raises InputError where there is none, GeoAwareError where it is damaged."""
    try:
        return Results.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; `georun bench` writes one") from None
    except (ValidationError, UnicodeDecodeError) as error:
        what = first_problem(error) if isinstance(error, ValidationError) else first_line(error)
        raise GeoAwareError(f"{path}: not a result file of `georun bench`: {what}") from None
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be read: {error.strerror}") from None


def prepare(folder: Path, run: Run) -> Path:
    """The file that a run belongs to, once it is known that it can be written.

    Raises InputError where the folder cannot be made or written, GeoAwareError for a damaged file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from None
    path = folder / file_name(run)
    check_writable(path)
    if path.exists():
        read(path)
    return path


def append(folder: Path, run: Run) -> Path:
    """Add a run to the folder's file of this hardware and day, and return the file's path.

    A run that has grown since it was added takes its own place.
    """
    path = prepare(folder, run)
    runs = read(path).runs if path.exists() else ()
    others = [each for each in runs if (each.date, each.command) != (run.date, run.command)]
    with replacing(path) as file:
        results = Results(runs=(*others, run))
        file.write(results.model_dump_json(indent=1, exclude_none=True).encode() + b"\n")
    return path


def files(folder: Path) -> list[Path]:
    """The result files of a folder, in which others may lie, by name."""
    return sorted(folder.glob("*-cores-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].json"))


def file_name(run: Run) -> str:
    """The name of the file that a run belongs to: its hardware and its day."""
    name = str(run.hardware.get("gpu") or run.hardware["cpu"])
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"{words}-{run.hardware['cores']}-cores-{run.date[:10]}.json"


def now() -> str:
    """The date and time as runs record it, fine enough to tell runs apart."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
