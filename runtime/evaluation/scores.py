"""Outcomes to numbers: PCK under a protocol, over all pairs and over parts of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .outcome import Outcome
from .protocols import Protocol
from .results import ByAlpha, ProtocolResult, Scores, Spread, Subset, key
from .statistics import bootstrap_means, interval
from .subset import geometry_aware

DECIMALS = 6  # of a percentage: beyond, the order of a sum shows

Correct = NDArray[np.bool_]
Chosen = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scored:
    """An outcome, and which of its K keypoints are correct at each of A alphas: (K, A)."""

    outcome: Outcome
    correct: Correct

    def only(self, chosen: Chosen) -> Scored:
        """The same with the chosen keypoints (K,) only."""
        return Scored(self.outcome, self.correct[chosen])


def score(
    protocol: Protocol,
    alphas: Sequence[float],
    dataset: str,
    outcomes: Sequence[Outcome],
    *,
    in_subset: bool = False,
    per_keypoint: bool = False,
) -> ProtocolResult:
    """Every number of a protocol, at the alphas given.

    in_subset: whether the geometry-aware subset is scored too; per_keypoint: every keypoint id.
    """
    scored = [
        Scored(each, protocol.correct(each.pair, each.distances, alphas)) for each in outcomes
    ]
    keys = [key(alpha) for alpha in alphas]
    categories = _by(scored, lambda each: [each.outcome.pair.category], keys)
    fields = sorted({name for each in outcomes for name in each.pair.difficulty})
    return ProtocolResult(
        name=protocol.name,
        formula=protocol.formula,
        used_by=protocol.used_by,
        alphas=tuple(alphas),
        overall=_scores(scored, keys),
        spread=_spread(scored, keys),
        category_mean={
            alpha: round(
                float(np.mean([each.per_image[alpha] for each in categories.values()])), DECIMALS
            )
            for alpha in keys
        },
        categories=categories,
        geometry_aware=_subset(scored, keys, lambda each: geometry_aware(dataset, each.pair))
        if in_subset
        else None,
        mutual=_subset(scored, keys, lambda each: each.nearest),
        by={name: _by(scored, _value_of(name), keys) for name in fields},
        keypoints=_keypoints(scored, keys) if per_keypoint else {},
    )


def _scores(scored: Sequence[Scored], keys: Sequence[str]) -> Scores:
    per_image = np.array([each.correct.mean(axis=0) for each in scored]).mean(axis=0)
    pooled = np.concatenate([each.correct for each in scored])
    return Scores(
        pairs=len(scored),
        keypoints=len(pooled),
        per_image=_percent(keys, per_image),
        per_keypoint=_percent(keys, pooled.mean(axis=0)),
    )


def _percent(keys: Sequence[str], shares: NDArray[np.float64]) -> ByAlpha:
    return {alpha: _rounded(100 * share) for alpha, share in zip(keys, shares, strict=True)}


def _rounded(percent: np.floating) -> float:
    return round(float(percent), DECIMALS)


def _spread(scored: Sequence[Scored], keys: Sequence[str]) -> dict[str, Spread]:
    values = 100 * np.array([each.correct.mean(axis=0) for each in scored])
    q25, median, q75 = np.percentile(values, [25, 50, 75], axis=0)
    low, high = interval(bootstrap_means(values))
    columns = values.mean(axis=0), values.std(axis=0), median, q25, q75, low, high
    names = ("mean", "std", "median", "q25", "q75", "low", "high")
    return {
        alpha: Spread(**dict(zip(names, map(_rounded, numbers), strict=True)))
        for alpha, *numbers in zip(keys, *columns, strict=True)
    }


def _by(
    scored: Iterable[Scored], groups: Callable[[Scored], Iterable[str]], keys: Sequence[str]
) -> dict[str, Scores]:
    """Scores of the groups that the outcomes belong to, sorted by the group's name."""
    members: dict[str, list[Scored]] = defaultdict(list)
    for each in scored:
        for group in groups(each):
            members[group].append(each)
    return {group: _scores(members[group], keys) for group in sorted(members)}


def _value_of(name: str) -> Callable[[Scored], list[str]]:
    """The value of a difficulty field, where the pair has it."""

    def value(each: Scored) -> list[str]:
        difficulty = each.outcome.pair.difficulty
        return [str(difficulty[name])] if name in difficulty else []

    return value


def _subset(
    scored: Sequence[Scored], keys: Sequence[str], chosen: Callable[[Outcome], Chosen | None]
) -> Subset | None:
    """Scores on chosen keypoints; None where nothing says which, or there are none."""
    masks = [chosen(each.outcome) for each in scored]
    parts = [
        each.only(mask)
        for each, mask in zip(scored, masks, strict=True)
        if mask is not None and mask.any()
    ]
    if not parts:
        return None
    scores = _scores(parts, keys)
    return Subset(
        pairs_share=100 * scores.pairs / len(scored),
        keypoints_share=100 * scores.keypoints / sum(len(each.correct) for each in scored),
        scores=scores,
    )


def _keypoints(scored: Sequence[Scored], keys: Sequence[str]) -> dict[str, dict[str, Scores]]:
    """Scores of single keypoints: by category, then by id."""
    members: dict[str, dict[int, list[Scored]]] = defaultdict(lambda: defaultdict(list))
    for each in scored:
        pair = each.outcome.pair
        ids = np.array(pair.ids)[pair.mutual]
        for row, number in enumerate(ids.tolist()):
            only = np.arange(len(ids)) == row
            members[pair.category][number].append(each.only(only))
    return {
        category: {str(number): _scores(rows[number], keys) for number in sorted(rows)}
        for category, rows in sorted(members.items())
    }
