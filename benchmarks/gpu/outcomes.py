"""What became of each thing that was checked: done, failed or skipped, and why."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

Figures = dict[str, Any]
Case = tuple[str, Callable[[], Figures]]  # its name, and what measures it

DONE: Literal["done"] = "done"
FAILED: Literal["failed"] = "failed"
SKIPPED: Literal["skipped"] = "skipped"

LONGEST_REASON = 500  # letters; all of it is printed


class MissingError(Exception):
    """Something cannot be done on this machine; the message says what it lacks."""


def lacking(what: str) -> Figures:
    """The measurement of what cannot be measured. Raises MissingError."""
    raise MissingError(what)


def require(*modules: str) -> None:
    """Raise MissingError unless all can be imported."""
    for name in modules:
        try:
            import_module(name)
        except ImportError as error:
            raise MissingError(str(error)) from None


@dataclass(frozen=True)
class Target:
    """A figure that has to be at most, or at least, so much."""

    figure: str
    at_most: float = float("inf")
    at_least: float = float("-inf")

    def judge(self, figures: Figures) -> str | None:
        """What is wrong with the figures, None where the target is met."""
        value = figures[self.figure]
        if value > self.at_most:
            return f"{self.figure} is {value}, not at most {self.at_most:g}"
        if value < self.at_least:
            return f"{self.figure} is {value}, not at least {self.at_least:g}"
        return None


@dataclass(frozen=True)
class Outcome:
    """What became of one case. missed: the targets that its figures do not meet, a line each."""

    case: str
    status: Literal["done", "failed", "skipped"]
    reason: str = ""
    figures: Figures = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing failed and no target was missed."""
        return self.status != FAILED and not self.missed

    def __str__(self) -> str:
        said = [self.reason, ", ".join(f"{key} {value}" for key, value in self.figures.items())]
        missed = [f"MISSED: {each}" for each in self.missed]
        return f"{self.case}: {self.status} " + "; ".join(filter(None, [*said, *missed]))


def outcome_of(case: str, measure: Callable[[], Figures]) -> Outcome:
    """Measure a case. The entry `targets` of its figures, where there is one, is judged."""
    try:
        measured = dict(measure())
        targets = measured.pop("targets", ())
        figures = {name: _rounded(value) for name, value in measured.items()}
        missed = [each.judge(figures) for each in targets]
    except MissingError as reason:
        return Outcome(case, SKIPPED, str(reason))
    except Exception as error:  # whatever it is, the other cases go on
        traceback.print_exc()
        return Outcome(case, FAILED, f"{type(error).__name__}: {error}"[:LONGEST_REASON])
    return Outcome(case, DONE, figures=figures, missed=[each for each in missed if each])


def _rounded(value: Any) -> Any:
    """Four digits of a measured number."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def write_outcomes(cases: Iterable[Case], path: Path) -> None:
    """Measure cases in order; each one's outcome is on the disk before the next begins."""
    with path.open("a", encoding="utf-8") as file:
        for name, measure in cases:
            outcome = outcome_of(name, measure)
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()
            os.fsync(file.fileno())
            print(f"  {outcome}", flush=True)


def read_outcomes(path: Path) -> list[Outcome]:
    """The outcomes that were written; a last line that was cut off is left out."""
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.is_file() else []
    return [Outcome(**json.loads(line)) for line in lines if line.endswith("\n")]
