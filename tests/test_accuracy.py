"""PCK of the bundle that ships, on real pairs; the thresholds are what the project promises."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import pck
from benchmarks.lite_accuracy import IMAGENET, plain, score, shipped
from benchmarks.pairs import Pair, pf_willow, spair_mini


def test_pck_by_hand():
    """Four points, off by 10, 10, 5 and 30 pixels, and a reference of 100."""
    truth = np.zeros((4, 2))
    pair = Pair(Path("a"), Path("b"), truth, truth, 100.0)
    predicted = np.array([[10.0, 0.0], [6.0, 8.0], [0.0, -5.0], [30.0, 0.0]])
    assert pck.found(pair, predicted).tolist() == [0.25, 0.75, 0.75]
    other = pck.found(pair, truth)
    assert pck.per_image([pck.found(pair, predicted), other]) == {
        "0.05": 62.5, "0.10": 87.5, "0.20": 87.5
    }  # fmt: skip


def test_spair_mini(data: Path):
    pairs = spair_mini(data)
    assert len(pairs) == 100
    assert score(shipped(None), pairs)["0.10"] >= 42


def test_60_pairs_of_pf_willow(data: Path):
    """A fixed sample; its own spread is wider than that of all 900 pairs."""
    pairs = random.Random(0).sample(pf_willow(data), 60)
    assert score(shipped(None), pairs)["0.10"] >= 60


@pytest.mark.slow
def test_all_pairs_of_pf_willow(data: Path):
    pairs = pf_willow(data)
    assert len(pairs) == 900
    assert score(shipped(None), pairs)["0.10"] >= 64


@pytest.mark.parametrize(
    ("read", "blocks", "expected"),
    [
        (spair_mini, ("block10", "block12", "block14"), {"0.05": 25.1, "0.10": 40.0, "0.20": 55.0}),
        (spair_mini, ("block14",), {"0.05": 18.2, "0.10": 37.2, "0.20": 56.2}),
        pytest.param(
            pf_willow,
            ("block14",),
            {"0.05": 39.5, "0.10": 64.0, "0.20": 82.0},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_plain_baseline_is_reproduced(
    data: Path,
    read: Callable[[Path], list[Pair]],
    blocks: tuple[str, ...],
    expected: dict[str, float],
):
    """Figures measured independently, with other code: same network, same metric, same data."""
    assert score(plain(blocks, IMAGENET), read(data)) == pytest.approx(expected, abs=0.06)
