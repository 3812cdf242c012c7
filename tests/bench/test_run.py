"""A run is written after every suite, whatever becomes of the next one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

from geoaware.bench import machine, provenance, rows
from geoaware.bench.provenance import commit, hardware
from geoaware.bench.rows import SUITES, Row, Spread, Suite
from geoaware.bench.run import Rows, measure, suites
from geoaware.bench.settings import Settings, Watch
from geoaware.bench.timing import Pace
from geoaware.runtime.errors import GeoAwareError, InputError

SETTINGS = Settings(threads=1, recipes=("lite",), pace=Pace(repeats=1, seconds=0, least=1, pause=0))


class Notes(list[str]):
    """A watch that remembers."""

    def note(self, line: str) -> None:
        self.append(line)


def row(suite: Suite, value: float = 1) -> Row:
    return Row(suite=suite, case={}, contender="geoaware", unit="ms", spread=Spread.of([value]))


def suite(name: Suite, error: BaseException | None = None) -> Rows:
    def measured(settings: Settings, watch: Watch) -> Iterator[Row]:
        yield row(name)
        if error:
            raise error

    return measured


def test_a_run_is_written_with_its_origin(tmp_path: Path):
    asked = {"machine": suite("machine"), "work": suite("work")}
    measured = measure(asked, SETTINGS, Notes(), tmp_path, "georun bench work")
    [written] = rows.read(measured.path).runs
    assert written.rows == measured.run.rows == (row("machine"), row("work"))
    assert not measured.failures
    assert (written.command, written.threads) == ("georun bench work", 1)
    assert written.hardware["cores"] == os.cpu_count()
    assert written.versions["numpy"][0].isdigit()
    assert written.commit


def test_every_suite_is_written_before_the_next_one_begins(tmp_path: Path):
    seen = []

    def looks(settings: Settings, watch: Watch) -> Iterator[Row]:
        [path] = rows.files(tmp_path)
        seen.append(len(rows.read(path).runs[-1].rows))
        yield row("work")

    measure({"machine": suite("machine"), "work": looks}, SETTINGS, Notes(), tmp_path, "")
    assert seen == [1]


def test_a_suite_that_fails_is_told_and_the_others_are_measured(tmp_path: Path):
    watch = Notes()
    asked = {"machine": suite("machine", GeoAwareError("no disk")), "work": suite("work")}
    measured = measure(asked, SETTINGS, watch, tmp_path, "")
    assert {name: str(error) for name, error in measured.failures.items()} == {"machine": "no disk"}
    assert watch == ["machine failed: no disk"]
    assert [each.suite for each in rows.read(measured.path).runs[0].rows] == ["machine", "work"]


def test_an_interrupted_run_keeps_what_was_measured(tmp_path: Path):
    watch = Notes()
    asked = {"machine": suite("machine"), "work": suite("work", KeyboardInterrupt())}
    with pytest.raises(KeyboardInterrupt):
        measure(asked, SETTINGS, watch, tmp_path, "")
    [path] = rows.files(tmp_path)
    assert len(rows.read(path).runs[0].rows) == 2
    assert watch == [f"what is measured is kept in {path}"]


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path: Path):
    (tmp_path / "file").write_text("")
    begun: list[int] = []

    def begins(settings: Settings, watch: Watch) -> Iterator[Row]:
        begun.append(1)
        yield row("work")

    with pytest.raises(InputError, match="file: cannot be made"):
        measure({"work": begins}, SETTINGS, Notes(), tmp_path / "file", "")
    assert not begun


def test_threads_are_those_asked_for_while_suites_run_and_as_before_after(tmp_path: Path):
    found = []

    def looks(settings: Settings, watch: Watch) -> Iterator[Row]:
        blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        found.append((os.environ["OMP_NUM_THREADS"], blas))
        yield row("work")

    before = dict(os.environ), threadpool_info()
    for threads in (1, 2):
        settings = Settings(threads=threads, recipes=())
        measure({"work": looks}, settings, Notes(), tmp_path, f"{threads}")
    assert found == [("1", {1}), ("2", {2})]
    assert (dict(os.environ), threadpool_info()) == before


def test_suites_come_in_their_order_and_the_machine_first():
    assert list(suites(["work", "matching"])) == ["machine", "matching", "work"]
    assert list(suites()) == list(SUITES)
    with pytest.raises(InputError, match="no suite 'nonsense'; use machine, features"):
        suites(["nonsense"])


def test_the_machines_figures_are_possible(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "SIDE", 256)
    monkeypatch.setattr(machine, "COPIED_BYTES", 2**22)
    found = {row.case["what"]: row for row in machine.rows(SETTINGS, Notes())}
    assert list(found) == ["product, fp32", "copy"], "with one thread alone, no row twice"
    for row, unit in zip(found.values(), ("GFLOP/s", "GB/s"), strict=True):
        assert row.unit == unit
        assert row.spread
        assert 0.1 < row.spread.median < 10_000


def test_hardware_and_commit_are_told():
    facts = hardware()
    assert facts["cores"] == os.cpu_count()
    assert {"cpu", "memory_gb", "instructions", "gpu", "driver"} <= set(facts)
    assert commit()


def test_a_copy_that_nobody_installed_has_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.setattr(provenance, "distribution", missing)
    assert commit().startswith("geoaware ")


def test_an_installed_copy_tells_the_checkout_it_was_installed_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copy = tmp_path / "installed" / "provenance.py"
    monkeypatch.setattr(provenance, "__file__", str(copy))
    source = tmp_path / "source"
    (source / "benchmarks" / "bench").mkdir(parents=True)
    (source / "benchmarks" / "bench" / copy.name).touch()
    monkeypatch.setattr(provenance, "_source", lambda: source)
    assert commit().startswith("geoaware "), "no checkout"
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], check=True, cwd=source)
    assert len(commit()) == 7
