from __future__ import annotations

import numpy as np
import pytest

from geoaware.runtime.datasets.keypoints import (
    mirror_pairs,
    mirror_partners,
    partner_rows,
    similar_groups,
)

SPAIR = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "train", "tvmonitor",
)  # fmt: skip
TABLES = [*(("spair", category) for category in SPAIR), ("ap10k", "zebra"), ("animal-pose", "cow")]


def test_paws_look_alike():
    assert (9, 10, 11, 12) in (similar_groups("spair", "cat") or [])
    assert (6, 9, 12, 15) in (similar_groups("ap10k", "king cheetah") or [])


def test_ids_are_those_of_the_annotations_where_they_have_gaps():
    assert (13,) in (similar_groups("spair", "bicycle") or [])
    ids = [10, 11, 16, 17, 20, 21]
    assert np.array(mirror_partners("spair", "bus", ids)).tolist() == [4, 5, 3, 2, 0, 1]


@pytest.mark.parametrize(("dataset", "category"), TABLES)
def test_a_keypoint_is_in_one_group_at_most(dataset: str, category: str):
    ids = [number for group in similar_groups(dataset, category) or [] for number in group]
    assert 9 <= len(ids) == len(set(ids)) <= 30


@pytest.mark.parametrize(("dataset", "category"), TABLES)
def test_mirrored_twice_is_as_before(dataset: str, category: str):
    partners = mirror_partners(dataset, category, range(30))
    assert partners is not None
    assert partners.dtype == np.intp
    assert partners[partners].tolist() == list(range(30))
    assert (partners != np.arange(30)).any()


def test_partners_are_rows_not_ids():
    partners = mirror_partners("spair", "cat", [8, 3, 2, 0])
    assert partners is not None
    assert partners.tolist() == [0, 2, 1, -1]  # the nose, both eyes, an ear without the other


def test_no_keypoints_have_no_partners():
    assert np.array(mirror_partners("spair", "cat", [])).shape == (0,)


@pytest.mark.parametrize(
    ("dataset", "category"),
    [("pf-willow", "car(G)"), ("pf-pascal", "cat"), ("spair", "unicorn"), ("about", "cat")],
)
def test_there_are_no_tables_for_other_sets(dataset: str, category: str):
    assert similar_groups(dataset, category) is None
    assert mirror_pairs(dataset, category) is None
    assert mirror_partners(dataset, category, [0, 1]) is None


@pytest.mark.parametrize(
    ("pairs", "ids", "rows"),
    [
        (((3, 7),), [7, 1, 3], [2, 1, 0]),  # either way round
        (((3, 7),), [7, 1], [-1, 1]),
        ((), [7, 3], [0, 1]),
        (((3, 7),), [], []),
    ],
)
def test_rows_of_the_keypoints_that_others_become(
    pairs: tuple[tuple[int, int], ...], ids: list[int], rows: list[int]
):
    found = partner_rows(pairs, ids)
    assert found.dtype == np.intp
    assert found.tolist() == rows
