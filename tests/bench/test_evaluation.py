"""The suite `evaluation`, on a few images."""

from __future__ import annotations

from pathlib import Path

import pytest

from geoaware.bench import evaluation, made_dataset
from geoaware.bench.evaluation import EAGER, LOOPS, measured
from geoaware.bench.rivals import networks_onnxruntime
from geoaware.bench.rows import OURS, Row
from geoaware.bench.settings import Settings
from geoaware.runtime import GeoAwareError
from geoaware.runtime.datasets import images, read
from geoaware.runtime.images import load

SETTINGS = Settings(threads=1, recipes=("lite",), device="cpu")


class Notes(list):
    def note(self, line: str) -> None:
        self.append(line)


def medians(rows: list[Row], what: str) -> dict[str, float | None]:
    return {
        row.contender: row.spread and row.spread.median for row in rows if row.case["what"] == what
    }


def test_every_contender_extracts_and_finds_the_same_pck():
    rows = list(measured(SETTINGS, Notes(), images=8, pairs=6, turns=1))
    rates = medians(rows, "extraction")
    assert set(rates) == {OURS, EAGER}
    assert min(rates.values()) > 0
    sizes = medians(rows, "an image on disk")
    values = 32 * 32 * 496
    assert 2 * values < sizes[OURS] < 2 * values + 1000
    assert 4 * values < sizes[EAGER] < 4 * values + 5000
    pairs = medians(rows, "pairs")
    assert set(pairs) == {OURS, *LOOPS}
    assert min(pairs.values()) > 0
    differences = [row.difference for row in rows if row.contender in LOOPS]
    assert all(difference <= evaluation.SAME for difference in differences)


def test_a_loop_that_computes_something_else_is_no_rival(monkeypatch: pytest.MonkeyPatch):
    def absent(*_: object) -> None:
        raise GeoAwareError("is not here")

    monkeypatch.setattr(evaluation.networks_pytorch, "eager", absent)
    monkeypatch.setattr(evaluation, "_loops", lambda task: {"wrong": lambda: 12.3})
    rows = list(measured(SETTINGS, Notes(), images=8, pairs=4, turns=1))
    [eager] = [row for row in rows if row.contender == EAGER]
    assert eager.missing == "is not here"
    [wrong] = [row for row in rows if row.contender == "wrong"]
    assert "PCK differs by" in wrong.missing


def test_a_network_that_computes_something_else_extracts_nothing(monkeypatch: pytest.MonkeyPatch):
    def mirrored(bundle, threads):
        network = networks_onnxruntime.on_cpu(bundle, threads)
        return lambda frames: network(frames)[:, :, ::-1]

    monkeypatch.setattr(evaluation.networks_pytorch, "eager", mirrored)
    monkeypatch.setattr(evaluation, "_loops", lambda task: {})
    rows = list(measured(SETTINGS, Notes(), images=8, pairs=4, turns=1))
    [eager] = [row for row in rows if row.contender == EAGER]
    assert "computes something else" in eager.missing


def test_without_pytorch_only_ours_is_measured(monkeypatch: pytest.MonkeyPatch):
    def absent(*_: object) -> None:
        raise GeoAwareError("needs torch")

    monkeypatch.setattr(evaluation.networks_pytorch, "eager", absent)
    monkeypatch.setattr(evaluation, "require", absent)
    rows = list(measured(SETTINGS, Notes(), images=8, pairs=4, turns=1))
    assert {row.contender: row.missing for row in rows if row.contender != OURS} == dict.fromkeys(
        (EAGER, *LOOPS), "needs torch"
    )


def test_keypoints_of_the_made_dataset_show_the_same_places(tmp_path: Path):
    made_dataset.make(tmp_path, 8)
    listing = read(made_dataset.NAME, tmp_path, made_dataset.SPLIT, made_dataset.SETTING)
    assert not listing.problems
    assert len(listing.pairs) == 4 * 2  # both orders of the two parts of each photograph
    assert len(images(listing.pairs)) == 8
    for pair in listing.pairs:
        assert len(pair.ids) == made_dataset.COLUMNS * made_dataset.ROWS
        source, target = load(pair.source.path), load(pair.target.path)
        for a, b in zip(pair.source.points, pair.target.points, strict=True):
            colours = (
                source.getpixel((int(a[0]), int(a[1]))),
                target.getpixel((int(b[0]), int(b[1]))),
            )
            assert sum(abs(x - y) for x, y in zip(*colours, strict=True)) < 120


def test_only_the_shipped_bundle_is_measured():
    notes = Notes()
    assert not list(evaluation.rows(Settings(threads=1, recipes=("dinov2-s",)), notes))
    assert notes == ["evaluation: nothing to do; it measures lite in fp32 alone"]
