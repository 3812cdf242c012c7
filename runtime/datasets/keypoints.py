"""Which keypoints look alike, and which become each other when an image is mirrored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .pair import MirrorPairs

_TABLES = Path(__file__).with_name("keypoint_groups.json")


def similar_groups(dataset: str, category: str) -> list[tuple[int, ...]] | None:
    """The ids of keypoints that look alike and differ by geometry, such as the four paws.

    A group of one is a keypoint like no other. None where there is no table.
    """
    table = _table(dataset, category)
    return [tuple(group) for group in table["similar_groups"]] if table else None


def mirror_partners(dataset: str, category: str, ids: Sequence[int]) -> NDArray[np.intp] | None:
    """The `partner_rows` of K ids (K,). None where there is no table."""
    pairs = mirror_pairs(dataset, category)
    return None if pairs is None else partner_rows(pairs, ids)


def mirror_pairs(dataset: str, category: str) -> MirrorPairs | None:
    """The ids of keypoints that change places in a mirror. None where there is no table."""
    table = _table(dataset, category)
    return tuple((a, b) for a, b in table["mirror_pairs"]) if table else None


def partner_rows(pairs: MirrorPairs, ids: Sequence[int]) -> NDArray[np.intp]:
    """For each of K ids the row of the one it becomes in a mirror, by the pairs that do: (K,).

    It is a keypoint's own row where it has no counterpart, -1 where its counterpart is not among
    the ids.
    """
    partner = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    row = {number: k for k, number in enumerate(ids)}
    return np.array([row.get(partner.get(number, number), -1) for number in ids], np.intp)


def _table(dataset: str, category: str) -> dict[str, list[list[int]]] | None:
    """The groups and pairs of a category; AP-10K and Animal-Pose have one table for all."""
    tables = _tables()
    table = {
        "spair": tables["spair"].get(category),
        "ap10k": tables["ap10k"],
        "animal-pose": tables["animal-pose"],
    }
    return table.get(dataset)


@cache
def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = json.loads(_TABLES.read_text("utf-8"))
    return tables
