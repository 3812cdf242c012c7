from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geoaware.runtime.datasets import AnnotatedImage, Pair
from geoaware.runtime.errors import InputError
from geoaware.train.sampling import among_images, epochs


def image(name: str) -> AnnotatedImage:
    return AnnotatedImage(Path(name), (10, 10), np.zeros((1, 2)), np.ones(1, np.bool_))


def pairs(category: str, count: int) -> list[Pair]:
    images = [image(f"{category}{index}") for index in range(count)]
    return [
        Pair(f"{a.path}-{b.path}", category, a, b, (0,))
        for a in images
        for b in images
        if a is not b
    ]


def test_an_epoch_has_every_pair_once_and_the_next_one_another_order():
    listed = pairs("cat", 4)
    draw = epochs(listed, 3, seed=1)
    first, second = (
        [pair for step in steps for pair in draw(step)] for steps in (range(4), range(4, 8))
    )
    assert {*first} == {*second} == {*listed}
    assert len(first) == len(listed)
    assert first != second


def test_a_step_is_the_same_whenever_it_is_asked_for():
    listed = pairs("cat", 4) + pairs("dog", 5)
    for one, other in (
        (epochs(listed, 2, 7), epochs(listed, 2, 7)),
        (among_images(listed, 3, 4, 7), among_images(listed, 3, 4, 7)),
    ):
        assert [one(step) for step in range(30)] == [other(step) for step in reversed(range(30))][
            ::-1
        ]


def test_another_seed_draws_other_pairs():
    listed = pairs("cat", 6)
    assert [epochs(listed, 2, 0)(step) for step in range(9)] != [
        epochs(listed, 2, 1)(step) for step in range(9)
    ]
    assert [among_images(listed, 3, 4, 0)(step) for step in range(9)] != [
        among_images(listed, 3, 4, 1)(step) for step in range(9)
    ]


def test_a_step_among_images_shows_no_more_of_them_and_one_category():
    draw = among_images(pairs("cat", 6) + pairs("dog", 4), images=3, count=5, seed=0)
    seen = set()
    for step in range(200):
        drawn = draw(step)
        assert 1 <= len(drawn) <= 5
        assert len({*drawn}) == len(drawn)
        assert len({side.path for pair in drawn for side in (pair.source, pair.target)}) <= 3
        seen |= {pair.category for pair in drawn}
        assert len({pair.category for pair in drawn}) == 1
    assert seen == {"cat", "dog"}


def test_pairs_that_are_not_listed_are_not_made_up():
    listed = pairs("cat", 5)[::3]
    draw = among_images(listed, images=3, count=9, seed=0)
    assert {pair for step in range(100) for pair in draw(step)} == {*listed}


def test_too_few_pairs_or_images_are_refused():
    with pytest.raises(InputError, match=r"batch\.pairs is 7, and there are only 6 pairs"):
        epochs(pairs("cat", 3), 7, 0)
    with pytest.raises(InputError, match=r"batch\.images is 4, and no category has more than 3"):
        among_images(pairs("cat", 3) + pairs("dog", 2), 4, 1, 0)
