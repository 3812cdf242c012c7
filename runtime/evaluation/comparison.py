"""Runs against each other, on the pairs they share: is one better, or is it chance?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import GeoAwareError, InputError
from .reading import PairScores, read_pairs, read_results
from .results import Results, key, spelt_out
from .statistics import bootstrap_means, interval

Verdict = Literal["better", "worse", "no clear difference", "too few pairs"]

FEWEST_PAIRS = 10  # for a verdict: a bootstrap of a few knows nothing of the others


@dataclass(frozen=True)
class Difference:
    """A run's PCK less that of the first run, in points; each pair with itself.

    low, high: the 95 % bootstrap interval. better: in what percent of resamples it is above 0.
    """

    mean: float
    low: float
    high: float
    better: float
    verdict: Verdict


@dataclass(frozen=True)
class Standing:
    """A run's PCK per image in percent, and its difference to the first run, which has none."""

    run: str
    mean: float
    difference: Difference | None


@dataclass(frozen=True)
class Group:
    """How the runs stand on some of the pairs, by alpha."""

    pairs: int
    standings: dict[str, tuple[Standing, ...]]


@dataclass(frozen=True)
class ComparedRun:
    """A run by the name it goes by, what made it, and how many of its pairs others lack."""

    name: str
    bundles: str
    method: str
    fingerprint: str
    left_out: int


@dataclass(frozen=True)
class Comparison:
    """Two or more runs on one dataset, by one protocol; the first is the baseline."""

    dataset: str
    protocol: str
    formula: str
    alphas: tuple[float, ...]
    runs: tuple[ComparedRun, ...]
    overall: Group
    categories: dict[str, Group]


def compare(
    folders: Sequence[Path], protocol: str | None = None, alphas: Sequence[float] | None = None
) -> Comparison:
    """Compare the runs in these folders, by a protocol and at alphas that all of them have.

    None is the first such protocol in the first run's order, and all such alphas.

    Raises InputError where the runs have no dataset, protocol, alpha or pair in common and where
    a folder holds no finished run, GeoAwareError where its files are damaged.
    """
    if len(folders) < 2:
        raise InputError("a comparison needs two or more runs")
    names = _names(folders)
    runs = dict(zip(names, map(read_results, folders), strict=True))
    _check_same_dataset(runs)
    protocol = _protocol(runs, protocol)
    chosen = _alphas(runs, protocol, alphas)
    scores = [
        _pairs(folder, results, protocol, chosen)
        for folder, results in zip(folders, runs.values(), strict=True)
    ]
    common = sorted(set(scores[0].names).intersection(*(each.names for each in scores)))
    if not common:
        raise InputError(f"{', '.join(names)}: have no pair in common")
    first = runs[names[0]]
    pck = np.stack([each.pck[_rows(each, common)] for each in scores])
    categories = np.array(scores[0].categories)[_rows(scores[0], common)]
    return Comparison(
        dataset=first.dataset.label,
        protocol=protocol,
        formula=first.protocols[protocol].formula,
        alphas=tuple(chosen),
        runs=tuple(
            _compared(name, results, len(each.names) - len(common))
            for (name, results), each in zip(runs.items(), scores, strict=True)
        ),
        overall=_group(names, chosen, pck),
        categories={
            str(category): _group(names, chosen, pck[:, categories == category])
            for category in np.unique(categories)
        },
    )


def _compared(name: str, results: Results, left_out: int) -> ComparedRun:
    return ComparedRun(
        name,
        results.bundle_names,
        f"{results.method.label}, stored as {results.features.stored_as}",
        results.dataset.fingerprint,
        left_out,
    )


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names; their whole paths where two have the same."""
    paths = [Path(os.path.realpath(folder)) for folder in folders]
    for path in paths:
        if paths.count(path) > 1:
            raise InputError(f"{path}: named twice")
    short = [path.name for path in paths]
    names = short if len(set(short)) == len(short) else [str(path) for path in paths]
    return [spelt_out(name) for name in names]


def _check_same_dataset(runs: dict[str, Results]) -> None:
    (baseline, first), *others = runs.items()
    for name, results in others:
        if results.dataset.label != first.dataset.label:
            raise InputError(
                f"{name} was evaluated on {results.dataset.label}, "
                f"{baseline} on {first.dataset.label}; they cannot be compared"
            )


def _protocol(runs: dict[str, Results], asked: str | None) -> str:
    first = next(iter(runs.values()))
    common = [
        name for name in first.protocols if all(name in each.protocols for each in runs.values())
    ]
    if not common:
        raise InputError(f"{', '.join(runs)}: have no protocol in common")
    for name, results in runs.items():
        if asked is not None and asked not in results.protocols:
            raise InputError(
                f"{name} has no protocol {asked!r}; common to all runs: {', '.join(common)}"
            )
    return asked or common[0]


def _alphas(runs: dict[str, Results], protocol: str, asked: Sequence[float] | None) -> list[float]:
    known = [set(map(key, results.protocols[protocol].alphas)) for results in runs.values()]
    first = next(iter(runs.values()))
    common = [
        alpha
        for alpha in first.protocols[protocol].alphas
        if all(key(alpha) in each for each in known)
    ]
    if not common:
        raise InputError(f"{', '.join(runs)}: have no alpha of protocol {protocol} in common")
    for alpha in asked or ():
        if key(alpha) not in map(key, common):
            raise InputError(
                f"alpha {alpha:g} of protocol {protocol} is not in all runs; "
                f"common to all: {', '.join(map(key, common))}"
            )
    return list(dict.fromkeys(asked or common))


def _pairs(folder: Path, results: Results, protocol: str, alphas: Sequence[float]) -> PairScores:
    scores = read_pairs(folder, protocol, alphas)
    expected = results.protocols[protocol].overall.pairs
    if len(scores.names) != expected:
        raise GeoAwareError(
            f"{folder}: per_pair.csv has {len(scores.names)} pairs, results.json {expected}; "
            "evaluate again"
        )
    return scores


def _rows(scores: PairScores, names: Sequence[str]) -> list[int]:
    """Where these pairs stand among a run's."""
    row = {name: number for number, name in enumerate(scores.names)}
    return [row[name] for name in names]


def _group(names: Sequence[str], alphas: Sequence[float], pck: NDArray[np.float64]) -> Group:
    """How R runs stand on N pairs at A alphas, from their PCK (R, N, A)."""
    differences = _differences(pck)
    means = pck.mean(axis=1)
    standings = {
        key(alpha): tuple(
            Standing(name, float(means[run, column]), differences[run][column] if run else None)
            for run, name in enumerate(names)
        )
        for column, alpha in enumerate(alphas)
    }
    return Group(pck.shape[1], standings)


def _differences(pck: NDArray[np.float64]) -> dict[int, list[Difference]]:
    """For every run but the first, its difference at each alpha; all runs by the same resamples."""
    runs, pairs, alphas = pck.shape
    per_pair = (pck[1:] - pck[0]).transpose(1, 0, 2).reshape(pairs, -1)
    means = bootstrap_means(per_pair)
    shares = 100 * (means > 0).mean(axis=0)
    numbers = np.stack([per_pair.mean(axis=0), *interval(means), shares], axis=1)
    found = [
        Difference(mean, low, high, better, _verdict(low, high, pairs))
        for mean, low, high, better in numbers.tolist()
    ]
    return {run: found[(run - 1) * alphas : run * alphas] for run in range(1, runs)}


def _verdict(low: float, high: float, pairs: int) -> Verdict:
    if pairs < FEWEST_PAIRS:
        return "too few pairs"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no clear difference"
