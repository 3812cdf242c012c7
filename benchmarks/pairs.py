"""The pairs that `lite` is tuned and measured on."""

from __future__ import annotations

import json
import os
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from geoaware.runtime.datasets import AnnotatedImage, Pair, read
from geoaware.runtime.images import load


def data_folder() -> Path:
    """`$GEOAWARE_DATA`, where the datasets lie."""
    folder = os.environ.get("GEOAWARE_DATA")
    if not folder:
        raise SystemExit("set GEOAWARE_DATA to the folder that holds the datasets")
    return Path(folder)


def pf_willow(folder: Path) -> list[Pair]:
    """All 900 ordered pairs of PF-Willow."""
    return list(read("pf-willow", folder / "PF-WILLOW", "test").pairs)


def spair_mini(folder: Path) -> list[Pair]:
    """The 100 pairs of SPair-71k-mini."""
    return list(read("spair", folder / "SPair-71k-mini", "test").pairs)


def animal_pose(folder: Path, per_category: int, seed: int = 0) -> list[Pair]:
    """Random pairs of AnimalPose images with one animal each, at least 5 shared keypoints.

    Pairs stay within a category.
    """
    root = folder / "AnimalPose-train"
    content = json.loads((root / "keypoints.json").read_text("utf-8"))
    animals = Counter(each["image_id"] for each in content["annotations"])
    by_category = defaultdict(list)
    for each in content["annotations"]:
        if animals[each["image_id"]] == 1:
            by_category[each["category_id"]].append(each)
    chooser = random.Random(seed)
    pairs = []
    for category, members in sorted(by_category.items()):
        candidates = [(a, b) for a in members for b in members if a is not b]
        chooser.shuffle(candidates)
        chosen: list[Pair] = []
        for a, b in candidates:
            if sum(x[2] and y[2] for x, y in zip(a["keypoints"], b["keypoints"], strict=True)) < 5:
                continue
            source, target = (_annotated(root, content["images"], each) for each in (a, b))
            ids = tuple(range(len(a["keypoints"])))
            name = f"{category}/{a['image_id']}-{b['image_id']}"
            chosen.append(Pair(name, str(category), source, target, ids))
            if len(chosen) == per_category:
                break
        pairs += chosen
    return pairs


def _annotated(root: Path, images: dict[str, str], animal: dict[str, Any]) -> AnnotatedImage:
    """An animal's image; annotations may lie a pixel beyond the border, and are moved onto it."""
    path = root / "images" / images[str(animal["image_id"])]
    size = load(path).size
    keypoints = np.array(animal["keypoints"], np.float64)
    visible = keypoints[:, 2] > 0
    points = np.where(visible[:, None], keypoints[:, :2].clip(0, size), np.nan)
    return AnnotatedImage(path, size, points, visible, tuple(animal["bbox"]))
