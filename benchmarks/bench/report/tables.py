"""The tables of a report, one for each suite. Each says below it what made its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from ..rows import OURS, Row, Suite
from ..work import fit
from . import labels
from .latest import Case, Latest
from .markdown import joined, listed, table

READING = (
    "Figures are medians with the 10th to 90th percentile. A ratio is the rival's time, memory or "
    "bytes over ours, and of rates ours over the rival's: more than 1 is always in geoaware's "
    "favour. Where the two ranges overlap neither is ahead, and the ratio is written ≈ 1."
)
DIFFERENCE = "Difference: the largest absolute one between a rival's results and ours."
NOTHING = "–"  # a cell of what was not measured
# What the contenders of a suite are, and which of them are not in every case.
WHO: dict[Suite, str] = {
    "features": "Device: what ours ran on. Rivals have the same weights and are as they come, but "
    "for the number of threads and fp32. After the first batch size only the fastest of"
    " them goes on.",
    "matching": "PyTorch eager normalises the maps in every call, as people write it; ours are of "
    "unit norm when they are made, so that “unit inputs” is on the same footing. System"
    " A matches all cells to read the asked ones and system B loops over points, both "
    "with 12 points, as the two research codes do. Compiled is one size "
    "only: compiling takes long.",
    "match": "The minimal PyTorch script imports torch, loads the same weights and matches. Cold"
    " is a program from start to end, by default threads; MB are its peak memory.",
    "evaluation": "The loops load two saved tensors for every pair, float32 on disk, and match all "
    "cells or the keypoints; ours stores float16, and reads an image once for all its pairs.",
    "work": "The exponent is the power of the work that fits the times best: 1 is proportional.",
}


def features_table(latest: Latest) -> str:
    """Images to descriptors: a row for each case, a column for each rival with its ratio."""
    return _wide(latest, "features")


def matching_table(latest: Latest) -> str:
    """Descriptors to points: a row for each case, a column for each rival with its ratio."""
    return _wide(latest, "matching")


def match_table(latest: Latest) -> str:
    """The whole match, with the percentiles that a user waits for."""
    return _long(latest, "match", ("p95", "p99"))


def evaluation_table(latest: Latest) -> str:
    """Evaluation and extraction: what they get through, and what they store."""
    return _long(latest, "evaluation", ())


def work_table(latest: Latest) -> str:
    """How our time grows with the work, and the power of the work that fits it."""
    rows = []
    for kind, cases in groupby(latest.cases("work"), lambda case: case.keys["what"]):
        points = work_points(list(cases))
        if len(points) > 1:
            (first, least), (last, most) = points[0], points[-1]
            times = (f"{labels.figure(least)} ms", f"{labels.figure(most)} ms")
            rows.append((str(kind), f"{first:g} to {last:g}", *times, f"{fit(points):.2f}"))
    header = ("what grows", "from … to", "at the first", "at the last", "exponent")
    return joined(table(header, rows), *_below(latest, "work"))


def machine_table(latest: Latest) -> str:
    """The machine, what it can do at most, and the software."""
    run = latest.newest
    rows = [(key, str(value)) for key, value in run.hardware.items() if value is not None]
    rows.append(("threads of every contender", str(run.threads)))
    rows += [
        (labels.label("machine", case.keys), _own_cell(row))
        for case in latest.cases("machine")
        for row in case.rows
    ]
    rows += run.versions.items()
    return joined(table(("", ""), rows, words=2), *_below(latest, "machine"))


def work_points(cases: Sequence[Case]) -> list[tuple[float, float]]:
    """The amounts of work of one kind in increasing order, and the milliseconds they took."""
    spreads = ((float(case.keys["at"]), case.spread(OURS)) for case in cases)
    return sorted((at, spread.median) for at, spread in spreads if spread)


def provenance(latest: Latest, suites: Sequence[Suite]) -> str:
    """What machine, run, command and commit these suites' figures come from."""
    runs = (latest.runs[suite] for suite in suites if suite in latest.runs)
    made = (f"{run.date[:10]} at {run.commit}, `{run.command}`" for run in runs)
    return f"{latest.machine}; {'; '.join(dict.fromkeys(made))}."


def _wide(latest: Latest, suite: Suite) -> str:
    cases = latest.cases(suite)
    rivals = _rivals(cases)
    keys = list(dict.fromkeys(key for case in cases for key in case.keys))
    devices = [next((row.device for row in case.rows if row.device), "") for case in cases]
    words = [*keys, *(["device"] if any(devices) else [])]
    header = (*words, OURS, *rivals, "difference")
    rows = [
        (
            *(str(case.keys.get(key, "")) for key in keys),
            *([device] if any(devices) else []),
            _cell(case, OURS),
            *(_cell(case, rival) for rival in rivals),
            _difference(case.rows),
        )
        for case, device in zip(cases, devices, strict=True)
    ]
    return joined(table(header, rows, words=len(words)), DIFFERENCE, *_below(latest, suite))


def _long(latest: Latest, suite: Suite, tails: Sequence[str]) -> str:
    rows = [
        (
            labels.label(suite, case.keys),
            row.contender,
            _own_cell(row),
            *(_tail(row, name) for name in tails),
            "1" if row.contender == OURS else str(case.ratio(row.contender) or NOTHING),
            _difference([row]),
        )
        for case in latest.cases(suite)
        for row in case.rows
    ]
    header = ("what", "contender", "median", *tails, "ratio", "difference")
    return joined(table(header, rows, words=2), DIFFERENCE, *_below(latest, suite))


def _below(latest: Latest, suite: Suite) -> Iterator[str]:
    """What stands below a table: why figures are missing, and where the others come from."""
    cases = latest.cases(suite)
    if suite in WHO:
        yield WHO[suite]
    yield listed(_reasons(cases))
    if random := sorted(
        {str(case.keys["recipe"]) for case in cases if labels.is_random(case.keys)}
    ):
        yield f"Random weights, which take the same time: {', '.join(random)}."
    yield provenance(latest, [suite])


def _reasons(cases: Sequence[Case]) -> Iterator[str]:
    """Each reason for which something is missing, with whom and how often it concerns."""
    found: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        for row in case.rows:
            if row.missing:
                found.setdefault((row.contender, row.missing), []).append(case)
    for (contender, reason), concerned in found.items():
        first = labels.label(concerned[0].suite, concerned[0].keys)
        more = f" and {len(concerned) - 1} more" if len(concerned) > 1 else ""
        yield f"{NOTHING} {contender} at {first}{more}: {reason}"


def _rivals(cases: Sequence[Case]) -> list[str]:
    names = dict.fromkeys(row.contender for case in cases for row in case.rows)
    return [name for name in names if name != OURS]


def _cell(case: Case, contender: str) -> str:
    """A contender's figure in a case: ours with its range, a rival's with its ratio."""
    row = next((row for row in case.rows if row.contender == contender), None)
    if row is None:
        return ""
    if row.spread is None or contender == OURS:
        return _own_cell(row)
    ratio = case.ratio(contender)
    return _figure(row) + (f", **{ratio}**" if ratio else "")


def _own_cell(row: Row) -> str:
    return labels.spread_text(row.spread, row.unit) if row.spread else NOTHING


def _figure(row: Row) -> str:
    return f"{labels.figure(row.spread.median)} {row.unit}" if row.spread else NOTHING


def _tail(row: Row, name: str) -> str:
    """A high percentile, where there were enough figures for one."""
    if row.spread is None or row.spread.count < 20:
        return ""
    return f"{labels.figure(getattr(row.spread, name))} {row.unit}"


def _difference(rows: Sequence[Row]) -> str:
    """The largest difference to our results, where one is told."""
    differences = [row.difference for row in rows if row.difference is not None]
    return f"{max(differences):.1e}" if differences else ""
