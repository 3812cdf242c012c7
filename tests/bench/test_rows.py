"""Result files: what is written is read again, and damage is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from geoaware.bench import rows
from geoaware.bench.rows import Row, Run, Spread
from geoaware.runtime.errors import GeoAwareError, InputError

ROW = Row(
    suite="matching",
    case={"points": "all", "grid": 60, "channels": 768},
    contender="geoaware",
    unit="ms",
    spread=Spread.of([3, 1, 2]),
    difference=1e-4,
    floor=0.5,
)


def run(**changes: object) -> Run:
    facts = {
        "command": "georun bench",
        "date": "2026-03-04T05:06:07.890+00:00",
        "commit": "abc",
        "hardware": {"cpu": "AMD EPYC (Zen 4)", "cores": 2, "gpu": None},
        "versions": {"numpy": "2.0"},
        "threads": 2,
        "rows": (ROW, ROW.model_copy(update={"spread": None, "missing": "not installed"})),
    }
    return Run.model_validate(facts | changes)


def test_a_spread_is_percentiles_and_of_one_value_that_value():
    spread = Spread.of(range(101))
    assert (spread.p10, spread.median, spread.p90, spread.p95, spread.p99) == (10, 50, 90, 95, 99)
    assert spread.count == 101
    alone = Spread.of([7])
    assert {alone.p10, alone.median, alone.p99} == {7}


def test_runs_are_read_as_they_were_appended(tmp_path: Path):
    first, second = run(), run(date="2026-03-04T23:06:07.000+00:00", threads=1)
    path = rows.append(tmp_path / "new", first)
    assert path == rows.append(tmp_path / "new", second)
    assert path.name == "amd-epyc-zen-4-2-cores-2026-03-04.json"
    read = rows.read(path).runs
    assert [each.threads for each in read] == [2, 1]
    assert read[0].rows == first.rows
    assert list(read[0].rows[0].case) == ["points", "grid", "channels"], "in their order"


def test_a_run_that_has_grown_takes_its_own_place(tmp_path: Path):
    rows.append(tmp_path, run(date="2026-03-04T01:00:00.000+00:00"))
    rows.append(tmp_path, run(rows=(ROW,)))
    path = rows.append(tmp_path, run())
    assert [len(each.rows) for each in rows.read(path).runs] == [2, 2]


def test_another_day_and_another_gpu_are_other_files(tmp_path: Path):
    written = {
        rows.append(tmp_path, run()),
        rows.append(tmp_path, run(date="2026-03-05T05:06:07.000+00:00")),
        rows.append(tmp_path, run(hardware={"cpu": "x", "cores": 2, "gpu": "NVIDIA H100"})),
    }
    (tmp_path / "spair_scale.json").write_text("{}")
    assert len(written) == 3
    assert set(rows.files(tmp_path)) == written


def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path):
    with pytest.raises(InputError, match=r"none.json: no such file"):
        rows.read(tmp_path / "none.json")
    path = rows.append(tmp_path, run())
    path.write_text(path.read_text("utf-8")[:-100])
    with pytest.raises(GeoAwareError, match="not a result file"):
        rows.append(tmp_path, run())
    path.write_text('{"runs": [{"command": 1}]}')
    with pytest.raises(GeoAwareError, match="runs.0.command: Input should be a valid string"):
        rows.read(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made: File exists"):
        rows.prepare(tmp_path / "file", run())
