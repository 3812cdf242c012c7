"""The suite `match`, with a few pictures; and the rival program finds what ours finds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from geoaware.bench import match, programs
from geoaware.bench.match import RIVAL, Answer, cold, minimal_script, warm
from geoaware.bench.pictures import crops
from geoaware.bench.rows import OURS, Row
from geoaware.bench.settings import Settings
from geoaware.bench.timing import Pace
from geoaware.examples import PHOTOGRAPHS
from geoaware.runtime import GeoAwareError
from geoaware.runtime.images import load

SETTINGS = Settings(threads=1, recipes=("lite",), device="cpu", pace=Pace(pause=0))


class Notes(list):
    def note(self, line: str) -> None:
        self.append(line)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return [crop.path for crop in crops(tmp_path, 5)]


def by(rows: list[Row], contender: str) -> dict[str, Row]:
    return {row.unit: row for row in rows if row.contender == contender}


def test_the_minimal_script_finds_what_georun_finds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(programs, "in_turns", lambda commands, runs: dict.fromkeys(
        commands, programs.Measured([0.5] * runs, [100.0] * runs)
    ))  # fmt: skip
    rows = list(cold(SETTINGS, Notes(), PHOTOGRAPHS[:3], runs=2))
    ours, rival = by(rows, OURS), by(rows, RIVAL)
    assert set(ours) == set(rival) == {"ms", "pairs/s", "MB"}
    assert all(row.case["what"] == "one against 2" for row in rows)
    assert (ours["ms"].spread.median, ours["pairs/s"].spread.median) == (500, 4)
    assert ours["ms"].difference is None
    assert 0 < rival["ms"].difference < 0.01


def test_programs_are_timed_from_start_to_end():
    sleep = [sys.executable, "-S", "-c", "import time; time.sleep(0.1)"]
    hold = [sys.executable, "-S", "-c", "held = b'1' * 50_000_000"]
    taken = programs.in_turns({"sleep": sleep, "hold": hold}, runs=2)
    assert len(taken["sleep"].seconds) == len(taken["sleep"].peaks_mb) == 2
    assert min(taken["sleep"].seconds) >= 0.1
    assert min(taken["hold"].peaks_mb) > max(taken["sleep"].peaks_mb) + 40


def test_a_program_that_fails_says_why():
    with pytest.raises(GeoAwareError, match="no such file"):
        programs.answer([programs.GEORUN, "match", "nowhere.jpg", "nowhere.png"])
    with pytest.raises(GeoAwareError, match="^/nowhere/georun: cannot be started: No such file"):
        programs.answer(["/nowhere/georun", "match"])
    with pytest.raises(GeoAwareError, match="-c raise …: failed while it was timed"):
        programs.in_turns({"broken": [sys.executable, "-c", "raise"]}, runs=1)


def test_a_rival_that_finds_other_points_is_none():
    points = np.arange(40.0).reshape(20, 2)
    ours = Answer(points, np.full(20, 0.5))
    far, farther = points.copy(), points.copy()
    far[0] += 100  # two cells that are equally similar
    farther[:2] += 100
    assert ours.difference(Answer(far, np.full(20, 0.75))) == 0.25
    with pytest.raises(GeoAwareError, match="only 90% lie within 1 px"):
        ours.difference(Answer(farther, np.full(20, 0.5)))


def test_without_its_packages_the_rival_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(match, "find_spec", lambda name: None)
    with pytest.raises(GeoAwareError, match=r"needs torch: pip install"):
        minimal_script()


def test_warm_contenders_match_every_pair_and_agree(
    pictures: list[Path], monkeypatch: pytest.MonkeyPatch
):
    def absent(*_: object) -> None:
        raise GeoAwareError("is not here")

    rivals = match.openers("fp32", on_gpu=False)
    monkeypatch.setattr(match, "openers", lambda *_, **__: {
        "onnxruntime": rivals["onnxruntime"], "OpenVINO": absent, "PyTorch compiled": absent,
    })  # fmt: skip
    rows = list(warm(SETTINGS, Notes(), pictures, pairs=3))
    ours, rival = by(rows, OURS)["ms"], by(rows, "onnxruntime")["ms"]
    assert ours.spread.count == rival.spread.count == 3
    assert ours.spread.median > 0
    assert rival.difference < 1e-4
    assert by(rows, "OpenVINO")["ms"].missing == "is not here"
    assert not by(rows, "PyTorch compiled")


def test_another_network_is_no_rival(pictures: list[Path], monkeypatch: pytest.MonkeyPatch):
    def shuffled(bundle, threads):
        network = rivals["onnxruntime"](bundle, threads)
        return lambda frames: network(frames)[:, ::-1]

    rivals = match.openers("fp32", on_gpu=False)
    monkeypatch.setattr(match, "openers", lambda *_, **__: {"onnxruntime": shuffled})
    rows = list(warm(SETTINGS, Notes(), pictures, pairs=1))
    assert "computes something else" in by(rows, "onnxruntime")["ms"].missing


def test_only_the_shipped_bundle_is_measured():
    notes = Notes()
    assert not list(match.rows(Settings(threads=1, recipes=("dinov2-s",)), notes))
    assert notes == ["match: nothing to do; it measures lite in fp32 alone"]


def test_pictures_are_different_parts_of_photographs(tmp_path: Path):
    parts = crops(tmp_path, 9)
    assert len({part.path.read_bytes() for part in parts}) == 9
    for part in parts:
        whole = load(PHOTOGRAPHS[part.photograph])
        box = (part.left, part.top, part.left + part.size[0], part.top + part.size[1])
        shown = np.asarray(load(part.path), np.float32)
        assert abs(shown - np.asarray(whole.crop(box), np.float32)).mean() < 8
