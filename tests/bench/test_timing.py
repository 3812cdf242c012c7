"""Contenders take turns, as often as the pace asks, on their inputs in rotation."""

from __future__ import annotations

import time

import pytest

from geoaware.bench.timing import Call, Pace, interleaved, times


def calls(said: list[str], name: str, seconds: float) -> Call:
    def call() -> None:
        said.append(name)
        time.sleep(seconds)

    return call


def test_contenders_take_turns():
    said: list[str] = []
    contenders = {name: [calls(said, name, 0.002)] for name in "ab"}
    taken = times(contenders, Pace(repeats=3, seconds=10, least=1, pause=0, short=0))
    assert "".join(said) == "aabb" + "ab" * 3, "each twice before, untimed"
    assert all(len(values) == 3 for values in taken.values())


def test_inputs_are_taken_in_rotation():
    said: list[str] = []
    contenders = {"one": [calls(said, name, 0) for name in "xyz"]}
    times(contenders, Pace(repeats=6, seconds=10, least=1, pause=0, short=0))
    assert "".join(said) == "xyzx" + "xyzxyz"


def test_long_calls_end_with_the_seconds_but_not_before_the_least_turns():
    pace = Pace(repeats=1000, seconds=0.02, least=3, pause=0, short=0)
    spread = interleaved({"slow": [lambda: time.sleep(0.02)]}, pace)["slow"]
    assert spread.count == 3
    assert spread.median == pytest.approx(20, rel=0.5), "milliseconds"


def test_short_calls_fill_their_turn():
    pace = Pace(repeats=5, seconds=10, least=2, pause=0, short=0.01)
    spread = interleaved({"short": [lambda: time.sleep(0.0005)]}, pace)["short"]
    assert spread.count >= 2 * 3


def test_the_slower_one_is_seen_as_slower():
    pace = Pace(repeats=5, seconds=1, pause=0)
    contenders = {"a": [lambda: time.sleep(0.001)], "b": [lambda: time.sleep(0.004)]}
    found = interleaved(contenders, pace)
    assert found["b"].p10 > found["a"].median
