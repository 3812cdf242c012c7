"""The suite `matching`: rivals that answer the same, in few small cases."""

from __future__ import annotations

import numpy as np
import pytest

from geoaware.bench import matching
from geoaware.bench.maps import asked_cells, map_pairs
from geoaware.bench.matching import Answer, Case, checked, gpu_for, ours
from geoaware.bench.rivals.matching_pytorch import MatchingRival
from geoaware.bench.rows import OURS
from geoaware.bench.settings import Settings, Sizes
from geoaware.bench.timing import Pace
from geoaware.kernels import reference
from geoaware.runtime.errors import GeoAwareError

ONCE = Pace(repeats=1, seconds=0, least=1, pause=0, short=0)
SETTINGS = Settings(
    threads=1, recipes=(), device="cpu", pace=ONCE, sizes=Sizes((9,), (24,), (1, 12, 64, None))
)
EAGER = "PyTorch eager"


class Notes(list[str]):
    """A watch that remembers."""

    def note(self, line: str) -> None:
        self.append(line)


@pytest.fixture(autouse=True)
def _three_pairs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("geoaware.bench.maps.beyond_caches", lambda nbytes: 3)


def test_every_case_stands_beside_its_rivals():
    notes = Notes()
    rows = list(matching.rows(SETTINGS, notes))
    assert notes[0] == "matching: points 1, grid 9, channels 24"
    found: dict[object, list[str]] = {}
    for row in rows:
        found.setdefault(row.case["points"], []).append(row.contender)
    always = [OURS, EAGER, f"{EAGER}, unit inputs"]
    a, b = "system A, all cells", "system B, point by point"
    assert found == {1: always, 12: [*always, a, b], 64: always, "all": always}
    for row in rows:
        assert row.spread
        assert row.spread.median > 0
        assert (row.difference is None) == (row.contender == OURS)
        assert row.case.keys() == {"points", "grid", "channels"}
        assert row.difference is None or row.difference < 1e-3


def test_ours_and_every_rival_find_what_the_reference_finds():
    [(source, target), *_] = map_pairs(9, 24)
    asked = asked_cells(9, 12)
    queries = source[asked[:, 1], asked[:, 0]]
    soft = matching.SOFT
    truth = reference.window_softargmax(
        queries, target, soft.window, soft.temperature, soft.variant
    )
    [mine] = ours(Case(12, 9, 24), [(source, target)], None)
    np.testing.assert_allclose(mine().cells, truth, atol=1e-4)
    rival = MatchingRival.of(9, asked, soft, 1, on_gpu=False)
    maps = rival.tensor(source), rival.tensor(target)
    for way in (rival.match, rival.match_unit, rival.match_all, rival.match_one_by_one):
        np.testing.assert_allclose(way(*maps)[0].numpy(), truth, atol=1e-4)


def test_pairs_differ_and_have_one_clear_match():
    pairs = map_pairs(9, 24)
    assert len(pairs) == 3
    assert not np.array_equal(pairs[0][1], pairs[1][1])
    for source, target in pairs:
        similarity = np.sort(source.reshape(81, -1) @ target.reshape(81, -1).T, axis=1)
        assert (similarity[:, -1] - similarity[:, -2]).min() > 1e-3


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(np.zeros((2, 2)), np.array([3, 5])), "1 of 2 peaks differ"),
        (Answer(np.full((2, 2), 0.01), np.array([3, 4])), "cells lie up to 0.01 from ours"),
        (Answer(np.full((2, 2), np.nan), np.array([3, 4])), "cells lie up to nan from ours"),
    ],
)
def test_what_computes_something_else_is_no_rival(answer: Answer, reason: str):
    truth = Answer(np.zeros((2, 2)), np.array([3, 4]))
    with pytest.raises(GeoAwareError, match=f"computes something else: {reason}"):
        checked(lambda: answer, truth)


def test_what_takes_too_long_or_fails_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(matching, "LONGEST_SECONDS", 0.0)
    truth = Answer(np.zeros((1, 2)), np.zeros(1))
    with pytest.raises(GeoAwareError, match="one call takes .* more than 0 s"):
        checked(lambda: truth, truth)

    def broken() -> Answer:
        raise RuntimeError("no memory\nand more")

    with pytest.raises(GeoAwareError, match="^fails: .*no memory$"):
        checked(broken, truth)


def test_without_pytorch_ours_is_measured_and_the_rival_missing(monkeypatch: pytest.MonkeyPatch):
    def require(*_: str) -> None:
        raise GeoAwareError("PyTorch as a rival needs torch: pip install it")

    monkeypatch.setattr("geoaware.bench.rivals.matching_pytorch.require", require)
    sizes = Sizes((9,), (24,), (12,))
    mine, theirs = matching.rows(Settings(1, (), device="cpu", pace=ONCE, sizes=sizes), Notes())
    assert mine.spread
    assert (theirs.contender, theirs.spread) == (EAGER, None)
    assert "pip install" in str(theirs.missing)


def test_a_gpu_that_is_asked_for_in_vain_is_an_error(monkeypatch: pytest.MonkeyPatch):
    def none() -> None:
        raise GeoAwareError("no driver here")

    monkeypatch.setattr(matching, "ready", none)
    notes = Notes()
    assert gpu_for("auto", notes) is None
    assert gpu_for("openvino-bf16", notes) is None
    assert notes == ["matching: on the processor: no driver here"]
    with pytest.raises(GeoAwareError, match="no driver here"):
        gpu_for("cuda", notes)
