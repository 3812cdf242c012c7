"""Annotated image pairs of the small sets that `lite` is tuned and measured on."""

from __future__ import annotations

import csv
import json
import os
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geoaware.runtime import Frame


@dataclass(frozen=True)
class Pair:
    """Two images with K corresponding keypoints (K, 2) in original-image pixels.

    reference: the length that distances are compared with, in the target's pixels.
    """

    source: Path
    target: Path
    source_points: NDArray[np.float64]
    target_points: NDArray[np.float64]
    reference: float

    def source_on(self, frame: Frame) -> NDArray[np.float64]:
        """The source points (K, 2); annotations may lie a pixel beyond the image's border."""
        return self.source_points.clip(0, (frame.width, frame.height))


def data_folder() -> Path:
    """`$GEOAWARE_DATA`, where the datasets lie."""
    folder = os.environ.get("GEOAWARE_DATA")
    if not folder:
        raise SystemExit("set GEOAWARE_DATA to the folder that holds the datasets")
    return Path(folder)


def pf_willow(folder: Path) -> list[Pair]:
    """All 900 ordered pairs of PF-Willow; reference: longer side of the target image."""
    root = folder / "PF-WILLOW"
    pairs = []
    with (root / "all_ordered_pairs_derived.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            xa, ya, xb, yb = (
                np.array(row[name].split(";"), np.float64) for name in ("XA", "YA", "XB", "YB")
            )
            source, target = root / row["imageA"], root / row["imageB"]
            with Image.open(target) as image:
                reference = max(image.size)
            pairs.append(
                Pair(source, target, np.stack([xa, ya], 1), np.stack([xb, yb], 1), reference)
            )
    return pairs


def spair_mini(folder: Path) -> list[Pair]:
    """The 100 pairs of SPair-71k-mini; reference: longer side of the target's box."""
    root = folder / "SPair-71k-mini"
    pairs = []
    for path in sorted((root / "PairAnnotation" / "test").glob("*.json")):
        pair = json.loads(path.read_text("utf-8"))
        images = root / "JPEGImages" / pair["category"]
        pairs.append(
            Pair(
                images / pair["src_imname"],
                images / pair["trg_imname"],
                np.array(pair["src_kps"], np.float64),
                np.array(pair["trg_kps"], np.float64),
                _longer_side(pair["trg_bndbox"]),
            )
        )
    return pairs


def animal_pose(folder: Path, per_category: int, seed: int = 0) -> list[Pair]:
    """Random pairs of AnimalPose images with one animal each, at least 5 shared keypoints.

    Pairs stay within a category; reference: longer side of the target's box.
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
    for _, members in sorted(by_category.items()):
        candidates = [(a, b) for a in members for b in members if a is not b]
        chooser.shuffle(candidates)
        chosen: list[Pair] = []
        for a, b in candidates:
            points_a, points_b = (np.array(each["keypoints"], np.float64) for each in (a, b))
            shared = (points_a[:, 2] > 0) & (points_b[:, 2] > 0)
            if shared.sum() < 5:
                continue
            source, target = (
                root / "images" / content["images"][str(each["image_id"])] for each in (a, b)
            )
            reference = _longer_side(b["bbox"])
            chosen.append(
                Pair(source, target, points_a[shared, :2], points_b[shared, :2], reference)
            )
            if len(chosen) == per_category:
                break
        pairs += chosen
    return pairs


def _longer_side(box: list[float]) -> float:
    x0, y0, x1, y1 = box
    return max(x1 - x0, y1 - y0)
