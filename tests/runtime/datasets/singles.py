"""Small annotated images of one object each, for datasets that draw their pairs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

WIDTH, HEIGHT = 64, 48


def point(k: int) -> tuple[int, int]:
    """Where keypoint k of every image is, unless a test moves it."""
    return 10 + k, 20 + k


def keypoints(visible: Sequence[int]) -> list[list[int]]:
    """x, y and a visibility for every keypoint; nothing where that is 0."""
    return [[*point(k), v] if v else [0, 0, 0] for k, v in enumerate(visible)]


def write(root: Path, content: dict[str, Any], images: Sequence[str]) -> Path:
    """A dataset's folder with a description and images. Returns the folder."""
    root.mkdir(exist_ok=True)
    (root / "keypoints.json").write_text(json.dumps(content))
    for name in images:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    return root
