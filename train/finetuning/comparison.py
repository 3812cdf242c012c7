"""What runs of fine-tuning came to, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import run_record
from ..journal import read_metrics

COLUMNS = ("blocks", "learning rate", "temperature", "before", "best", "at step", "minutes")


@dataclass(frozen=True)
class Result:
    """What a run came to.

    before, best: PCK in percent. step: of the best. Both are None where the loss was not finite any
    more before the first validation. minutes: of training and validation.
    """

    run: str
    blocks: int
    learning_rate: float
    temperature: float
    before: float
    best: float | None
    step: int | None
    minutes: float
    diverged: bool = False

    @property
    def row(self) -> list[str]:
        """It as words, in the order of COLUMNS."""
        return [
            str(self.blocks),
            f"{self.learning_rate:g}",
            f"{self.temperature:.3g}",
            f"{self.before:.1f}",
            "none" if self.best is None else f"{self.best:.1f}",
            self._when,
            f"{self.minutes:.1f}",
        ]

    @property
    def _when(self) -> str:
        if self.step is None:
            return "diverged"
        return f"{self.step:,}, then diverged" if self.diverged else f"{self.step:,}"


def result_of(folder: Path, diverged: bool = False) -> Result:
    """The result of a run that ended. Raises InputError where the folder holds none."""
    record, rows = run_record.read(folder), read_metrics(folder)
    settings, last = record["settings"], rows[-1] if rows else {"step": 0, "time": 0.0}
    validations = [row for row in rows if "pck" in row]
    best = max(validations, key=lambda row: row["pck"], default={"pck": None, "step": None})
    return Result(
        run=folder.name,
        blocks=settings["blocks"],
        learning_rate=settings["fitting"]["learning_rate"],
        temperature=settings["temperature"],
        before=record["before"]["pck"],
        best=best["pck"],
        step=best["step"],
        minutes=round(last["time"] / 60, 2),
        diverged=diverged,
    )


def best_of(results: Sequence[Result]) -> Result | None:
    """The one of highest PCK, of equals the first; None where none was validated."""
    validated = [each for each in results if each.best is not None]
    return max(validated, key=lambda each: each.best, default=None)


def verdict(results: Sequence[Result]) -> str:
    """Which run is best, and whether it is better than the weights were before; in a sentence."""
    best = best_of(results)
    if best is None:
        return "all diverged"
    found = f"{best.run} ({best.before:.1f} -> {best.best:.1f})"
    return f"best: {found}" if best.best > best.before else f"none gained; the best is {found}"


def markdown(title: str, results: Sequence[Result]) -> str:
    """A table of results, the best in bold."""
    best = best_of(results)
    lines = [f"# {title}", "", _line(COLUMNS), _line(["---:"] * len(COLUMNS))]
    lines += [
        _line([f"**{word}**" for word in each.row] if each is best else each.row)
        for each in results
    ]
    said = verdict(results)
    return "\n".join([*lines, "", f"{said[0].upper()}{said[1:]}.", ""])


def _line(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"
