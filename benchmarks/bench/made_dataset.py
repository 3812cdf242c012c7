"""A dataset of parts of the photographs that ship, in the format of one's own datasets.

Two parts of one photograph show the same places: these are the keypoints.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .pictures import LARGEST_MARGIN, Crop, crops

NAME, SPLIT, SETTING = "folder", "test", "within"
COLUMNS, ROWS = 4, 3  # of keypoints


def make(folder: Path, images: int) -> None:
    """Write so many images and their keypoints.json; each photograph is a category."""
    parts = crops(folder, images)
    keypoints = [str(number) for number in range(COLUMNS * ROWS)]
    content = {
        "categories": {
            str(each): {"keypoints": keypoints} for each in sorted({p.photograph for p in parts})
        },
        "images": [_entry(part, keypoints) for part in parts],
    }
    (folder / "keypoints.json").write_text(json.dumps(content), "utf-8")


def _entry(part: Crop, keypoints: list[str]) -> dict[str, object]:
    x, y = np.meshgrid(_places(COLUMNS) * part.whole[0], _places(ROWS) * part.whole[1])
    points = np.stack([x.ravel() - part.left, y.ravel() - part.top], axis=1)
    return {
        "file": part.path.name,
        "category": str(part.photograph),
        "keypoints": dict(zip(keypoints, points.round(2).tolist(), strict=True)),
        "split": SPLIT,
    }


def _places(count: int) -> NDArray[np.float64]:
    """Places along a side that every part shows, as shares of it."""
    step = (np.arange(count) + 0.5) / count
    return LARGEST_MARGIN + (1 - 2 * LARGEST_MARGIN) * step
