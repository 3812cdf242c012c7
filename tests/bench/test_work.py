"""The suite `work`: a row for every amount, and the exponent that fits them."""

from __future__ import annotations

import pytest

from geoaware.bench import work
from geoaware.bench.rows import OURS
from geoaware.bench.settings import Settings
from geoaware.bench.timing import Pace
from geoaware.bench.work import fit
from geoaware.runtime import Bundle
from geoaware.runtime.errors import GeoAwareError

from .test_matching import Notes

ONCE = Pace(repeats=1, seconds=0, least=1, pause=0, short=0)
SETTINGS = Settings(threads=1, recipes=(), device="cpu", pace=ONCE)
AMOUNTS = {
    "SIDES": (256, 512),
    "BATCHES": (1, 2),
    "GRIDS": (4, 6),
    "KEYPOINTS": (1, 9),
    "PAIRS": (1, 4),
}
SMALL = {"GRID": 6, "CHANNELS": 16, "PAIR_GRID": 5, "PAIR_CHANNELS": 16}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("geoaware.bench.maps.beyond_caches", lambda nbytes: 3)
    monkeypatch.setattr(work, "PHOTOGRAPHS", work.PHOTOGRAPHS[:1])
    for name, value in (AMOUNTS | SMALL).items():
        monkeypatch.setattr(work, name, value)


def test_every_amount_of_every_kind_has_its_time(monkeypatch: pytest.MonkeyPatch):
    asked: list[int | None] = []

    def bundle(recipe: str, precision: str, frame: int | None, watch: object) -> Bundle:
        asked.append(frame)
        return Bundle.open()

    monkeypatch.setattr(work, "bundle", bundle)
    notes = Notes()
    rows = list(work.rows(SETTINGS, notes))
    assert asked == [256, None], "the recipe's own frame is that of the shipped bundle"
    kinds = {"frame side": "SIDES", "grid": "GRIDS", "keypoints": "KEYPOINTS"}
    kinds |= {"batch": "BATCHES", "pairs": "PAIRS"}
    assert notes == [f"work: {kind}" for kind in kinds]
    found = [(row.case["what"], row.case["at"]) for row in rows]
    assert found == [(kind, at) for kind, name in kinds.items() for at in AMOUNTS[name]]
    assert all(row.spread and row.contender == OURS and row.unit == "ms" for row in rows)


def test_frames_that_cannot_be_built_are_missing_and_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch,
):
    def bundle(*_: object) -> Bundle:
        raise GeoAwareError("geoexport needs torch")

    monkeypatch.setattr(work, "bundle", bundle)
    first, *others = work.rows(SETTINGS, Notes())
    assert first.case == {"what": "frame side", "at": 256}
    assert first.missing == "geoexport needs torch"
    assert len(others) == 8
    assert all(row.spread for row in others)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.8])
def test_the_exponent_of_a_power_is_found(exponent: float):
    points = [(at, 3.5 * at**exponent) for at in (2.0, 5.0, 40.0)]
    assert fit(points) == pytest.approx(exponent)


def test_the_exponent_is_of_least_squares():
    assert fit([(1, 1), (10, 10), (10, 1000)]) == pytest.approx(2.0), "halfway between 1 and 3"


@pytest.mark.parametrize("points", [[], [(2, 1)], [(2, 1), (2, 3)]])
def test_one_amount_has_no_exponent(points: list[tuple[float, float]]):
    with pytest.raises(ValueError, match="two amounts of work"):
        fit(points)
