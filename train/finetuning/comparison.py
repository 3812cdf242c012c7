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

    before, best: PCK in percent. step: of the best. minutes: of training and validation.
    """

    run: str
    blocks: int
    learning_rate: float
    temperature: float
    before: float
    best: float
    step: int
    minutes: float

    @property
    def row(self) -> list[str]:
        """It as words, in the order of COLUMNS."""
        return [
            str(self.blocks),
            f"{self.learning_rate:g}",
            f"{self.temperature:.3g}",
            f"{self.before:.1f}",
            f"{self.best:.1f}",
            f"{self.step:,}",
            f"{self.minutes:.1f}",
        ]


def result_of(folder: Path) -> Result:
    """The result of a finished run. Raises InputError where the folder holds none."""
    record, rows = run_record.read(folder), read_metrics(folder)
    settings = record["settings"]
    best = max((row for row in rows if "pck" in row), key=lambda row: row["pck"])
    return Result(
        run=folder.name,
        blocks=settings["blocks"],
        learning_rate=settings["fitting"]["learning_rate"],
        temperature=settings["temperature"],
        before=record["before"]["pck"],
        best=best["pck"],
        step=best["step"],
        minutes=round(rows[-1]["time"] / 60, 2),
    )


def best_of(results: Sequence[Result]) -> Result:
    """The one of highest PCK; of equals the first."""
    return max(results, key=lambda result: result.best)


def markdown(title: str, results: Sequence[Result]) -> str:
    """A table of results, the best in bold."""
    best = best_of(results)
    lines = [f"# {title}", "", _line(COLUMNS), _line(["---:"] * len(COLUMNS))]
    lines += [
        _line([f"**{word}**" for word in each.row] if each is best else each.row)
        for each in results
    ]
    return "\n".join([*lines, "", f"Best: `{best.run}`.", ""])


def _line(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"
