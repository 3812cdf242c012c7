"""The geometry-aware subset, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geoaware.runtime.datasets import AnnotatedImage, Pair
from geoaware.runtime.evaluation.subset import geometry_aware


def pair(category: str, ids: tuple[int, ...], source: set[int], target: set[int]) -> Pair:
    def side(visible: set[int]) -> AnnotatedImage:
        seen = np.array([number in visible for number in ids])
        points = np.where(seen[:, None], 10.0, np.nan)
        return AnnotatedImage(Path("a.png"), (100, 100), np.repeat(points, 2, 1), seen)

    return Pair("pair", category, side(source), side(target), ids)


def chosen(category: str, source: set[int], target: set[int], dataset: str = "spair") -> set[int]:
    ids = tuple(sorted(source | target))
    one = pair(category, ids, source, target)
    mask = geometry_aware(dataset, one)
    assert mask is not None
    mutual = [number for number in ids if number in source & target]
    assert len(mask) == len(mutual)
    return {number for number, inside in zip(mutual, mask, strict=True) if inside}


def test_two_look_alikes_in_the_target_and_one_in_both_count():
    # A cat's ears are 2 and 3, its paws 9 to 12, its nose 8.
    assert chosen("cat", {2, 8}, {2, 3, 8}) == {2}
    assert chosen("cat", {2, 3, 8}, {2, 3, 8}) == {2, 3}
    assert chosen("cat", {9, 11}, {9, 10, 11, 12}) == {9, 11}


def test_one_look_alike_in_the_target_does_not_count():
    assert chosen("cat", {2, 3, 8}, {2, 8}) == set()


def test_look_alikes_that_the_source_does_not_show_do_not_count():
    assert chosen("cat", {8}, {2, 3, 8}) == set()


def test_ids_are_the_datasets_own():
    # SPair numbers the last point of a bicycle 13; its pedals are 9 and 10.
    assert chosen("bicycle", {9, 10, 13}, {9, 10, 13}) == {9, 10}
    # AP-10K has one table for every animal: shoulders are 5 and 8.
    assert chosen("Bovidae", {5, 2}, {5, 8, 2}, "ap10k") == {5}


def test_a_dataset_without_a_table_has_no_subset():
    assert geometry_aware("pf-willow", pair("car(S)", (0, 1), {0, 1}, {0, 1})) is None
