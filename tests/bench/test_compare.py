"""Noise does not trip the comparison, and what became slower does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from geoaware.bench import rows
from geoaware.bench.compare import compare, compared, verdict
from geoaware.bench.rows import Row, Run, Spread, Suite
from geoaware.runtime.errors import InputError

OLD, NEW = [10, 10.1, 10.2, 10.3, 10.4, 10.5], [13, 13.1, 13.2, 13.3, 13.4, 13.5]


def row(contender: str, values: list[float] | None, unit: str = "ms", at: int = 1) -> Row:
    return Row(
        suite="work",
        case={"what": "pairs", "at": at},
        contender=contender,
        unit=unit,
        spread=Spread.of(values) if values else None,
        missing=None if values else "not installed",
    )


def machine(suite: Suite = "machine") -> Row:
    return row("numpy", OLD, "GB/s").model_copy(update={"suite": suite})


def run(*measured: Row, day: int = 1, threads: int = 2, **hardware: str) -> Run:
    return Run(
        command="georun bench",
        date=f"2026-01-{day:02}T00:00:00.000+00:00",
        commit="abc",
        hardware={"cpu": "x", "cores": 2, **hardware},
        versions={},
        threads=threads,
        rows=measured,
    )


def verdicts(noise: str, share: float, count: int, slower: float) -> Counter[str]:
    """Of a thousand figures with this noise, measured again when they are so many times slower."""
    rng = np.random.default_rng(0)
    draw = {"normal": rng.standard_normal, "skewed": rng.standard_exponential}[noise]
    old, new = 1 + share * draw((2, 1000, count))
    return Counter(
        verdict(Spread.of(before), Spread.of(slower * now), "ms")
        for before, now in zip(old, new, strict=True)
    )


@pytest.mark.parametrize("noise", ["normal", "skewed"])
@pytest.mark.parametrize(("share", "count", "most"), [(0.1, 20, 0), (0.05, 20, 0), (0.02, 5, 1)])
def test_noise_alone_is_no_difference(noise: str, share: float, count: int, most: int):
    found = verdicts(noise, share, count, 1)
    assert found["worse"] <= most
    assert found["better"] <= most


@pytest.mark.parametrize("noise", ["normal", "skewed"])
def test_a_fifth_slower_is_seen_through_noise_of_five_percent(noise: str):
    assert verdicts(noise, 0.05, 20, 1.2)["worse"] >= 980
    assert verdicts(noise, 0.05, 20, 1 / 1.3)["better"] >= 980


def test_what_is_exact_must_still_differ_by_five_percent():
    one, little, more = Spread.of([100]), Spread.of([104]), Spread.of([106])
    assert verdict(one, little, "bytes") == "no clear difference"
    assert verdict(one, more, "bytes") == "worse"
    assert verdict(more, one, "MB") == "better"
    assert verdict(one, more, "ms") == "too few", "one time says nothing of its noise"


def test_of_a_rate_less_is_worse():
    slow, fast = Spread.of(OLD), Spread.of(NEW)
    assert verdict(fast, slow, "images/s") == "worse"
    assert verdict(slow, fast, "images/s") == "better"
    [change] = compared(
        run(row("geoaware", NEW, "images/s")), run(row("geoaware", OLD, "images/s"))
    ).changes
    assert change.factor == pytest.approx(13.25 / 10.25)


def test_only_our_own_figures_count_and_drift_shows():
    rivals = [row("PyTorch eager", OLD), row("OpenVINO", OLD)]
    slower = [row("PyTorch eager", NEW), row("OpenVINO", NEW)]
    found = compared(run(row("geoaware", OLD), *rivals), run(row("geoaware", OLD), *slower))
    assert not found.worse
    assert [each.verdict for each in found.changes] == ["no clear difference", "worse", "worse"]
    assert found.drift == pytest.approx(13.25 / 10.25)
    [worse] = compared(run(row("geoaware", OLD)), run(row("geoaware", NEW))).worse
    assert worse.contender == "geoaware"


def test_rows_of_one_run_alone_are_listed():
    old = run(row("geoaware", OLD), row("geoaware", OLD, at=2), machine("match"))
    new = run(row("geoaware", OLD), row("geoaware", OLD, at=4), row("OpenVINO", None))
    found = compared(old, new.model_copy(update={"command": "georun bench work"}))
    assert len(found.changes) == 1
    assert [each.case["at"] for each in found.old.only_here] == [2], "match was not asked for"
    assert [each.case["at"] for each in found.new.only_here] == [4]
    assert found.drift is None


def test_our_own_figures_that_are_gone_are_lost():
    match = row("geoaware", OLD).model_copy(update={"suite": "match"})
    old = run(row("geoaware", OLD), row("geoaware", OLD, at=2), row("OpenVINO", OLD), match)
    new = run(row("geoaware", OLD), row("geoaware", None, at=2))
    suites = [each.suite for each in compared(old, new).lost]
    assert sorted(suites) == ["match", "work"], "the same command asked for match, too"
    other = new.model_copy(update={"command": "georun bench work"})
    assert [each.suite for each in compared(old, other).lost] == ["work"]


def test_the_last_runs_with_the_same_suites_are_compared(tmp_path: Path):
    rows.append(tmp_path / "old", run(machine(), row("geoaware", OLD)))
    old = rows.append(tmp_path / "old", run(machine()).model_copy(update={"command": "machine"}))
    new = rows.append(tmp_path / "new", run(machine(), row("geoaware", NEW), day=2))
    assert len(compare(old, new).worse) == 1
    assert not compare(old, old).worse, "of one file, its last run with the one before"
    with pytest.raises(InputError, match="no earlier run with all of machine, work"):
        compare(new, new)
    with pytest.raises(InputError, match="no run with all of machine, match"):
        compare(old, rows.append(tmp_path, run(machine(), machine("match"), day=3)))


def test_other_hardware_and_threads_are_refused(tmp_path: Path):
    old = rows.append(tmp_path, run(machine()))
    other = rows.append(tmp_path, run(machine(), cpu="y"))
    with pytest.raises(InputError, match="different hardware: cpu x and y"):
        compare(old, other)
    newer = rows.append(tmp_path, run(machine(), instructions="AMX", day=3))
    with pytest.raises(InputError, match="different hardware: instructions None and AMX"):
        compare(old, newer)
    threads = rows.append(tmp_path, run(machine(), threads=1, day=2))
    with pytest.raises(InputError, match="run again with --threads 2"):
        compare(old, threads)


@pytest.mark.parametrize("ours", [row("geoaware", OLD, at=2), row("geoaware", None)])
def test_runs_that_share_nothing_of_ours_are_refused(tmp_path: Path, ours: Row):
    old = rows.append(tmp_path, run(machine(), machine("work"), row("geoaware", OLD)))
    new = rows.append(tmp_path, run(machine(), machine("work"), ours, day=2))
    with pytest.raises(InputError, match="nothing of ours was measured in both"):
        compare(old, new)
