"""Which pairs are evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geoaware.runtime.datasets import AnnotatedImage, Pair, images
from geoaware.runtime.errors import InputError
from geoaware.runtime.evaluation.selection import Selection, fingerprint
from geoaware.runtime.store import Key

SEEN = np.ones(1, bool)


def pair(number: int, category: str = "cat", x: float = 1.0) -> Pair:
    def side(name: str) -> AnnotatedImage:
        return AnnotatedImage(Path(name), (9, 9), np.array([[x, 1.0]]), SEEN)

    return Pair(f"{number:03}", category, side(f"{number}.png"), side("target.png"), (0,))


PAIRS = [pair(number, "cat" if number % 2 else "dog") for number in range(20)]


def test_categories_then_sample_then_limit():
    assert Selection().of(PAIRS) == PAIRS
    assert Selection(limit=3).of(PAIRS) == PAIRS[:3]
    dogs = Selection(categories=("dog",)).of(PAIRS)
    assert [each.category for each in dogs] == ["dog"] * 10
    assert len(Selection(("dog",), sample=4, seed=1).of(PAIRS)) == 4
    assert len(Selection(("dog",), limit=2, sample=4).of(PAIRS)) == 2


def test_a_sample_is_the_same_on_every_machine():
    names = [each.name for each in Selection(sample=5, seed=42).of(PAIRS)]
    assert names == ["008", "009", "014", "015", "017"]
    assert names != [each.name for each in Selection(sample=5, seed=43).of(PAIRS)]


def test_an_unknown_category_is_an_error():
    with pytest.raises(InputError, match="'cow'; there are cat, dog"):
        Selection(("cow",)).of(PAIRS)


def test_the_fingerprint_follows_pairs_annotations_and_images():
    keys = {path: Key("a" * 64) for path in images(PAIRS)}
    first = fingerprint(PAIRS, keys)
    assert first == fingerprint(list(PAIRS), dict(keys))
    assert first != fingerprint(PAIRS[1:], keys)
    assert first != fingerprint([pair(0, "dog", x=2.0), *PAIRS[1:]], keys)
    assert first != fingerprint(PAIRS, keys | {Path("target.png"): Key("b" * 64)})
