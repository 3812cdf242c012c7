"""The numbers of every pair and of every keypoint, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..outcome import Outcome
from ..results import Results, key
from ..subset import geometry_aware
from . import verdicts

PER_PAIR, PER_KEYPOINT = "per_pair.csv", "per_keypoint.csv"


def pck_column(protocol: str, alpha: float) -> str:
    """The name of the column of a protocol at an alpha, such as `box@0.10`."""
    return f"{protocol}@{key(alpha)}"


def per_pair(results: Results, outcomes: Sequence[Outcome]) -> str:
    """One row per pair; PCK is a share in [0, 1], distances are pixels of the target image.

    Difficulty fields that a pair does not have are left empty.
    """
    fields = list(dict.fromkeys(name for each in outcomes for name in each.pair.difficulty))
    header = [
        "pair", "category", "source", "target", "keypoints", "mirrored", *fields, "mean distance",
        *_pck_columns(results),
    ]  # fmt: skip
    return _text(header, (_pair_row(results, outcome, fields) for outcome in outcomes))


def per_keypoint(results: Results, outcomes: Iterable[Outcome]) -> str:
    """One row per keypoint; points and distances are in pixels of their own images.

    `mutual` is empty where it was not asked for, `geometry-aware` where there is no table of
    look-alikes. A PCK column holds 1 where the keypoint is
    correct and 0 where not.
    """
    header = [
        "pair", "category", "keypoint", "source x", "source y", "predicted x", "predicted y",
        "truth x", "truth y", "distance", "similarity", "mutual", "geometry-aware",
        *(f"{name} reference" for name in results.protocols), *_pck_columns(results),
    ]  # fmt: skip
    return _text(header, (row for outcome in outcomes for row in _keypoint_rows(results, outcome)))


def _pair_row(results: Results, outcome: Outcome, fields: Iterable[str]) -> Iterator[object]:
    pair, distances = outcome.pair, outcome.distances
    yield from (pair.name, pair.category, pair.source.path.name, pair.target.path.name)
    yield from (len(distances), int(outcome.mirrored))
    yield from (pair.difficulty.get(field, "") for field in fields)
    yield round(float(distances.mean()), 3)
    for name, result in results.protocols.items():
        correct = verdicts.correct(name, outcome, result.alphas)
        yield from correct.mean(axis=0).round(6).tolist()


def _keypoint_rows(results: Results, outcome: Outcome) -> Iterator[Iterable[object]]:
    pair, distances = outcome.pair, outcome.distances
    count = len(distances)
    ids = [each for each, mutual in zip(pair.ids, pair.mutual, strict=True) if mutual]
    points = (pair.source.points[pair.mutual], outcome.predicted, outcome.truth)
    columns = [
        [pair.name] * count,
        [pair.category] * count,
        ids,
        *(axis for array in points for axis in array.T.round(3).tolist()),
        distances.round(3).tolist(),
        outcome.similarity.astype(float).round(5).tolist(),
        _flags(outcome.nearest, count),
        _flags(geometry_aware(results.dataset.name, pair), count),
    ]
    correct = []
    for name, result in results.protocols.items():
        columns.append([round(verdicts.reference(name, outcome), 3)] * count)
        correct += verdicts.correct(name, outcome, result.alphas).T.astype(int).tolist()
    return zip(*columns, *correct, strict=True)


def _flags(chosen: NDArray[np.bool_] | None, count: int) -> list[object]:
    """1 and 0; empty where it is not known."""
    return [""] * count if chosen is None else chosen.astype(int).tolist()


def _pck_columns(results: Results) -> list[str]:
    return [
        pck_column(name, alpha)
        for name, result in results.protocols.items()
        for alpha in result.alphas
    ]


def _text(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()
