"""`make gpu-check` without a GPU: every measurement on the host, where its times mean nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu import __main__ as check
from benchmarks.gpu import engines, keys
from benchmarks.gpu.inputs import Sizes
from benchmarks.gpu.kernels import kernel_cases
from benchmarks.gpu.outcomes import (
    Target,
    lacking,
    outcome_of,
    read_outcomes,
    write_outcomes,
)
from benchmarks.gpu.ragged import run_all
from benchmarks.gpu.suites import counted
from benchmarks.gpu.timing import Bench, Contender, called_times, gpu_times
from geoaware.kernels.cuda.errors import CudaError
from geoaware.kernels.cuda.open import open_device
from tests.kernels.cuda.conftest import host

ROOT = Path(__file__).parents[2]
TINY = Sizes(
    side=4, channels=16, points=3, maps=((2, 8), (3, 8), (4, 16), (4, 8)), photograph=(12, 16),
    frame=8, matrix=16, copied_bytes=64,
)  # fmt: skip


@pytest.fixture
def bench() -> Bench:
    """The host, on which nothing can be captured, and three sets of inputs do not fit the cache."""
    return Bench(
        host(),
        capture=lambda function: function,
        cache_bytes=TINY.cells * TINY.channels * 2,
        repeats=2,
        calls=2,
        warm_up_s=0,
    )


def test_every_kernel_is_measured(bench: Bench):
    for name, measure in kernel_cases(bench, TINY):
        figures = measure()
        numbers = [value for value in figures.values() if isinstance(value, float)]
        assert numbers
        assert all(value > 0 for value in numbers), name


def test_rivals_compute_the_same(bench: Bench):
    rivals = pytest.importorskip("benchmarks.gpu.rivals")
    for name, measure in rivals.rival_cases(bench, TINY, ["eager"]):
        assert measure()["times_ours_called"] > 0, name


def test_a_rival_with_other_results_is_no_rival(bench: Bench):
    rivals = pytest.importorskip("benchmarks.gpu.rivals")
    duel = rivals.dense(
        bench, TINY, "float32", lambda function: lambda a, b: function(a, b.flip(0))
    )
    with pytest.raises(RuntimeError, match=r"forward are not PyTorch's"):
        rivals.compared(bench, duel, captured=True)


def test_what_the_sanitizer_watches_runs_on_ragged_shapes():
    run_all(host())


def test_a_graph_holds_every_input_set_and_contenders_take_turns(bench: Bench):
    done: list[str] = []
    contenders = {
        "slow": Contender([lambda: (time.sleep(0.002), done.append("slow"))] * 3),
        "fast": Contender([lambda: done.append("fast")]),
    }
    for times in (gpu_times(bench, contenders), called_times(bench, contenders)):
        assert 2000 < times["slow"].p10 <= times["slow"].median <= times["slow"].p90
        assert times["fast"].median < times["slow"].p10
    assert done[-4:] == ["slow", "fast"] * 2


def test_input_sets_do_not_fit_the_cache():
    bench = Bench(host(), lambda function: function, cache_bytes=1000)
    assert [bench.sets(nbytes) for nbytes in (1, 300, 999, 10**6)] == [64, 10, 4, 2]


def test_keys_are_read_as_the_kernels_write_them():
    written = np.array([0xBF000000_FFFFFFFC, 0x40FFFFFF_FFFFFFFF], np.uint64)
    assert keys.indices(written).tolist() == [3, 0]
    assert keys.scores(written).tolist() == [0.5, -0.5]


def failing() -> dict[str, float]:
    raise ValueError("broken")


def test_what_becomes_of_a_case_is_recorded_with_its_reason():
    done = outcome_of("a", lambda: {"gpu_us": 1.23456, "targets": [Target("gpu_us", at_most=2)]})
    assert (done.status, done.figures, done.good) == ("done", {"gpu_us": 1.235}, True)
    failed = outcome_of("a", failing)
    assert (failed.status, failed.reason, failed.good) == ("failed", "ValueError: broken", False)
    skipped = outcome_of("a", lambda: lacking("no TensorRT here"))
    assert (skipped.status, skipped.reason, skipped.good) == ("skipped", "no TensorRT here", True)


@pytest.mark.parametrize("target", [Target("x", at_most=1.9), Target("x", at_least=2.1)])
def test_a_missed_target_is_no_success(target: Target):
    outcome = outcome_of("a", lambda: {"x": 2.0, "targets": [target]})
    assert outcome.status == "done"
    assert not outcome.good
    assert outcome.missed[0].startswith("x is 2.0, not at ")


def test_cases_that_were_done_survive_a_crash(tmp_path: Path):
    path = tmp_path / "outcomes"
    write_outcomes([("a", dict), ("b", failing)], path)
    with path.open("a") as file:
        file.write('{"case": "c", "stat')
    assert [each.case for each in read_outcomes(path)] == ["a", "b"]


def test_a_part_that_crashes_or_hangs_is_a_failure():
    [outcome] = check.run(check.Part("no cases", "inputs", 60), 60)
    assert (outcome.status, outcome.reason) == ("failed", "ended with code 1")
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert check._problem(sleeping, {}, 1) == "took longer than 1 seconds"
    assert "were used up" in str(check._problem(sleeping, {}, 0))


def test_engines_are_skipped_where_what_builds_them_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    for name, measure in engines.cases()[:2]:
        assert name.endswith(", tensorrt")
        outcome = outcome_of(name, measure)
        assert outcome.status == "skipped"
        assert "tensorrt" in outcome.reason


def test_a_bundle_is_compared_and_timed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engines, "MATCHES", 2)
    monkeypatch.setattr(engines, "WARM_UP", 0)
    outcome = outcome_of("lite", lambda: engines.measured(None, "cpu"))
    assert outcome.good, outcome
    assert outcome.figures["cosine_min"] == pytest.approx(1)
    assert outcome.figures["match_us"] > 0


def test_tests_are_counted(tmp_path: Path):
    (tmp_path / "test_three.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip('no CuPy')\n"
        "@pytest.mark.skip(reason='no CuPy')\ndef test_c(): pass\n"
    )
    (tmp_path / "test_elsewhere.py").write_text("import no_such_module\n")
    figures = counted(report_of(tmp_path))
    assert (figures["passed"], figures["skipped"]) == (1, 3)
    assert figures["reasons"][0] == "ModuleNotFoundError: No module named 'no_such_module'"
    (tmp_path / "test_wrong.py").write_text("def test_d(): assert 1 == 2\n")
    with pytest.raises(RuntimeError, match=r"1 of 5 failed: .*test_wrong\.test_d"):
        counted(report_of(tmp_path))


def report_of(folder: Path) -> Path:
    options = ["-p", "no:cacheprovider", "--continue-on-collection-errors", "--junitxml=report.xml"]
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir=.", *options, "."]
    subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return folder / "report.xml"


def test_without_a_gpu_it_says_so_and_writes_nothing():
    try:
        open_device()
    except CudaError:
        pass
    else:
        pytest.skip("there is a GPU")
    results = ROOT / "benchmarks" / "results"
    before = sorted(results.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("gpu-check needs a GPU: ")
    assert len(done.stderr.splitlines()) == 1
    assert sorted(results.iterdir()) == before
