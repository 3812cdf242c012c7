"""A dataset of drawn things, in the toolkit's own format: coloured corners at random places."""

from __future__ import annotations

import json
import random
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = (120, 90)
COLOURS = {"lid": "red", "handle": "lime", "foot": "blue", "label": "yellow"}
SPLITS = ("train", "train", "train", "val", "val")


def draw(folder: Path, seed: int = 0) -> Path:
    """Five pictures of one category; three train, two validate."""
    folder.mkdir()
    chance = random.Random(seed)
    images = []
    for number, split in enumerate(SPLITS):
        picture = Image.new("RGB", SIZE, "grey")
        keypoints = {}
        for name, colour in COLOURS.items():
            x, y = chance.uniform(10, SIZE[0] - 10), chance.uniform(10, SIZE[1] - 10)
            ImageDraw.Draw(picture).rectangle((x - 9, y - 9, x + 9, y + 9), fill=colour)
            keypoints[name] = [x, y]
        picture.save(folder / f"{number}.png")
        images.append(
            {
                "file": f"{number}.png",
                "category": "mug",
                "keypoints": keypoints,
                "box": [0, 0, *SIZE],
                "split": split,
            }
        )
    categories = {"mug": {"keypoints": list(COLOURS), "left_right": []}}
    content = {"categories": categories, "images": images}
    (folder / "keypoints.json").write_text(json.dumps(content), "utf-8")
    return folder
