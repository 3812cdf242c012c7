"""Finding the first layer that differs, where looking at all of them at once would hide it."""

from __future__ import annotations

import pytest

from geoaware.export.divergence import first_over


class Network:
    """Layers of which those from `first_wrong` on are wrong; counts what it is asked."""

    def __init__(self, count: int, first_wrong: int | None, error: float = 1.0) -> None:
        self.count, self.first_wrong, self.error = count, first_wrong, error
        self.asked: list[list[int]] = []

    def errors(self, layers: list[int]) -> list[float]:
        self.asked.append(list(layers))
        wrong = self.count if self.first_wrong is None else self.first_wrong
        return [self.error if layer >= wrong else 0.001 for layer in layers]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 63, 200])
def test_it_is_found_wherever_it_is(count: int):
    for first_wrong in range(count):
        network = Network(count, first_wrong)
        assert first_over(count, network.errors, 0.01) == (first_wrong, 1.0)
        assert len(network.asked) <= 3
        assert max(map(len, network.asked)) <= 8


def test_a_network_that_is_right_is_asked_once():
    network = Network(200, None)
    assert first_over(200, network.errors, 0.01) is None
    assert len(network.asked) == 1
    assert network.asked[0][-1] == 199


def test_values_that_are_no_numbers_are_wrong():
    found = first_over(5, Network(5, 3, float("nan")).errors, 0.01)
    assert found is not None
    assert found[0] == 3


def test_nothing_to_look_at_is_nothing_found():
    assert first_over(0, Network(0, None).errors, 0.01) is None
