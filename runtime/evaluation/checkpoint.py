"""Outcomes kept as they come, so that an interrupted run goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from ..datasets import Pair
from ..errors import GeoAwareError, InputError
from .outcome import Outcome

NAME = "outcomes.jsonl"


def refuse_unfinished(folder: Path) -> None:
    """Raise InputError where a folder holds an interrupted run, which would be lost."""
    if (folder / NAME).exists():
        raise InputError(
            f"{folder}: holds an interrupted run; go on with --resume, name another --out, or "
            f"remove {NAME} to start anew"
        )


class Checkpoint:
    """A file of outcomes in a run's folder: a line of what the run is, then a line for each pair.

    Numbers are written so that they read back exactly. The caller removes it when all is done.
    """

    def __init__(self, folder: Path, run: dict[str, Any]) -> None:
        """run: everything that decides the outcomes; only the same run can be resumed."""
        self.path = folder / NAME
        self._run = json.dumps(run, sort_keys=True)
        self._file: IO[str] | None = None

    def resume(self, pairs: Sequence[Pair]) -> list[Outcome]:
        """The outcomes of an interrupted run up to a line that is damaged, none without a run.

        Raises GeoAwareError where the file is of another run.
        """
        if not self.path.exists():
            return []
        text = self.path.read_text("utf-8", "replace")
        first, *lines = text[: text.rfind("\n") + 1].splitlines() or [""]
        if first != self._run:
            raise GeoAwareError(
                f"{self.path}: belongs to a run with other pairs, bundles or options; "
                "give the same ones, or another --out"
            )
        by_name = {pair.name: pair for pair in pairs}
        outcomes = []
        for line in lines:
            try:
                outcomes.append(_outcome(json.loads(line), by_name))
            except (ValueError, KeyError, TypeError):
                break
        return outcomes

    def start(self, done: Sequence[Outcome]) -> None:
        """Begin the file anew, with the outcomes that are there already."""
        unfinished = self.path.with_suffix(".new")
        with unfinished.open("w", encoding="utf-8") as file:
            file.writelines([self._run + "\n", *(_line(outcome) for outcome in done)])
        unfinished.replace(self.path)
        self._file = self.path.open("a", encoding="utf-8")

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Keep outcomes."""
        assert self._file
        self._file.writelines(_line(outcome) for outcome in outcomes)
        self._file.flush()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()


def _line(outcome: Outcome) -> str:
    content = {
        "pair": outcome.pair.name,
        "predicted": outcome.predicted.tolist(),
        "similarity": outcome.similarity.tolist(),
        "nearest": None if outcome.nearest is None else outcome.nearest.tolist(),
        "mirrored": outcome.mirrored,
    }
    return json.dumps(content) + "\n"


def _outcome(content: dict[str, Any], pairs: dict[str, Pair]) -> Outcome:
    pair, nearest = pairs[content["pair"]], content["nearest"]
    predicted = np.array(content["predicted"], np.float64).reshape(int(pair.mutual.sum()), 2)
    if not np.isfinite(predicted).all():
        raise ValueError("coordinates that are no numbers")
    return Outcome(
        pair,
        predicted,
        np.array(content["similarity"], np.float32),
        None if nearest is None else np.array(nearest, np.bool_),
        content["mirrored"],
    )
