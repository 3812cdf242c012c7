"""PCK by hand: every protocol against a table worked out on paper.

The target image of pair one is 200 x 100 pixels, its box 100 x 50, and the box around its
keypoints 60 x 0. Its six predictions lie 1, 3, 5, 10, 20 and 30 pixels off. So alpha x reference is

    reference          0.01   0.05   0.10   0.15   0.20
    box (100)             1      5     10     15     20
    image (200)           2     10     20     30     40
    keypoint box (60)   0.6      3      6      9     12

and predictions lie exactly on thresholds. Pair two (same sizes) has two perfect predictions.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geoaware.runtime.datasets import AnnotatedImage, Pair
from geoaware.runtime.errors import InputError
from geoaware.runtime.evaluation.outcome import Outcome
from geoaware.runtime.evaluation.protocols import PROTOCOLS, check_boxes, chosen
from geoaware.runtime.evaluation.scores import score

OFF = np.array([1.0, 3.0, 5.0, 10.0, 20.0, 30.0])

# Of the six of pair one, how many are correct.
CORRECT = {
    "box": {"0.05": 3, "0.10": 4, "0.20": 5},  # 1 3 5 | + 10 | + 20
    "box-strict": {"0.01": 0, "0.05": 2, "0.10": 3},  # 1 is not < 1 | 1 3 | + 5
    "image": {"0.05": 4, "0.10": 5, "0.20": 6},  # 1 3 5 10 | + 20 | + 30
    "image-strict": {"0.05": 3, "0.10": 4, "0.15": 5},  # 1 3 5 | + 10 | + 20, 30 is not < 30
    "keypoint-box": {"0.05": 2, "0.10": 3, "0.15": 3},  # 1 3 | + 5 | the same
}


def outcome(name: str, off: np.ndarray, category: str = "cat") -> Outcome:
    count = len(off)
    points = np.stack([np.linspace(0, 60, count), np.full(count, 40.0)], axis=1)
    seen = np.ones(count, bool)
    side = AnnotatedImage(Path(f"{name}.png"), (200, 100), points, seen, (0.0, 0.0, 100.0, 50.0))
    pair = Pair(name, category, side, side, tuple(range(count)))
    return Outcome(pair, points + np.stack([0 * off, off], axis=1), np.ones(count, np.float32))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_by_hand(name: str):
    outcomes = [outcome("one", OFF), outcome("two", np.zeros(2))]
    protocol = PROTOCOLS[name]
    result = score(protocol, protocol.alphas, "spair", outcomes)
    for alpha, correct in CORRECT[name].items():
        per_image = 100 * (correct / 6 + 1) / 2
        per_keypoint = 100 * (correct + 2) / 8
        assert result.overall.per_image[alpha] == pytest.approx(per_image, abs=1e-5)
        assert result.overall.per_keypoint[alpha] == pytest.approx(per_keypoint, abs=1e-5)
        assert result.spread[alpha].mean == pytest.approx(per_image, abs=1e-5)


def test_the_table_of_the_papers():
    """Reference, comparison and alphas of each protocol, as the papers have them."""
    facts = {
        name: (each.reference, each.comparison, each.alphas) for name, each in PROTOCOLS.items()
    }
    assert facts == {
        "box": ("box", "<=", (0.05, 0.10, 0.20)),
        "box-strict": ("box", "<", (0.01, 0.05, 0.10)),
        "image": ("image", "<=", (0.05, 0.10, 0.20)),
        "image-strict": ("image", "<", (0.05, 0.10, 0.15)),
        "keypoint-box": ("keypoint-box", "<=", (0.05, 0.10, 0.15)),
    }


def test_the_category_mean_weighs_categories_and_the_overall_mean_pairs():
    perfect, far = np.zeros(2), np.full(2, 1000.0)
    outcomes = [outcome("a", perfect), outcome("b", perfect), outcome("c", far, "dog")]
    result = score(PROTOCOLS["box"], (0.1,), "spair", outcomes)
    assert result.overall.per_image["0.10"] == pytest.approx(100 * 2 / 3, abs=1e-5)
    assert result.category_mean["0.10"] == pytest.approx(50)
    assert {name: each.pairs for name, each in result.categories.items()} == {"cat": 2, "dog": 1}


def test_single_keypoints_are_scored_by_their_id():
    result = score(PROTOCOLS["box"], (0.05,), "spair", [outcome("one", OFF)], per_keypoint=True)
    by_id = {name: each.per_image["0.05"] for name, each in result.keypoints["cat"].items()}
    assert by_id == {"0": 100, "1": 100, "2": 100, "3": 0, "4": 0, "5": 0}


def test_mutual_matches_are_scored_by_themselves():
    nearest = np.array([True, False, False, False, True, False])
    one = outcome("one", OFF)
    one = Outcome(one.pair, one.predicted, one.similarity, nearest)
    result = score(PROTOCOLS["box"], (0.05,), "spair", [one])
    assert result.mutual is not None
    assert result.mutual.keypoints_share == pytest.approx(100 * 2 / 6, abs=1e-5)
    assert result.mutual.scores.per_keypoint == {"0.05": 50.0}


def test_difficulty_fields_are_scored_by_value_where_they_are_known():
    one, two = outcome("one", OFF), outcome("two", np.zeros(2))
    one.pair.difficulty["viewpoint"] = 2
    result = score(PROTOCOLS["box"], (0.05,), "spair", [one, two])
    assert result.by["viewpoint"]["2"].pairs == 1
    assert list(result.by["viewpoint"]) == ["2"]


def test_the_usual_protocol_of_a_dataset_comes_without_asking():
    assert [each.name for each in chosen("spair", ())] == ["box"]
    assert [each.name for each in chosen("pf-willow", ())] == ["keypoint-box"]
    assert [each.name for each in chosen("ap10k", ())] == ["box-strict"]
    assert [each.name for each in chosen("pf-pascal", ())] == ["image"]
    assert [each.name for each in chosen("spair", ("all",))] == list(PROTOCOLS)


def test_protocols_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="none of box, box-strict"):
        chosen("spair", ("pck",))
    with pytest.raises(InputError, match="PF-Willow has none"):
        chosen("pf-willow", ("box",))
    names = [each.name for each in chosen("pf-willow", ("all",))]
    assert names == ["image", "image-strict", "keypoint-box"]


def test_boxes_that_a_dataset_may_have_are_used_only_where_asked():
    names = [each.name for each in chosen("folder", ("all",))]
    assert names == ["image", "image-strict", "keypoint-box"]
    [protocol] = chosen("folder", ("box-strict",))
    pair = outcome("one", OFF).pair
    check_boxes([pair], [protocol])
    bare = replace(pair, target=replace(pair.target, box=None))
    check_boxes([bare], chosen("folder", ("all",)))
    with pytest.raises(InputError, match=r"'box-strict' needs boxes, and one\.png has none"):
        check_boxes([pair, bare], [protocol])
