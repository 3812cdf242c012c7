"""A dataset of a few photographs, to be learnt by heart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


def four_pairs(data: Path, folder: Path) -> Path:
    """Two cats and two dogs of AnimalPose as a `folder` dataset, in both of its splits."""
    published = json.loads((data / "AnimalPose-train" / "keypoints.json").read_text("utf-8"))
    names = published["categories"][0]["keypoints"]
    sides = [[name, name.replace("left", "right")] for name in names if name.startswith("left")]
    images: list[dict[str, Any]] = []
    for category, kind in ((2, "cat"), (1, "dog")):
        shown = [each for each in published["annotations"] if each["category_id"] == category]
        richest = sorted(shown, key=lambda each: -sum(point[2] for point in each["keypoints"]))[:2]
        for each in richest:
            file = published["images"][str(each["image_id"])]
            for split in ("train", "val"):
                name = f"{split}-{file}"
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(data / "AnimalPose-train" / "images" / file, folder / name)
                visible = zip(names, each["keypoints"], strict=True)
                images.append(
                    {
                        "file": name,
                        "category": kind,
                        "keypoints": {point: xy[:2] for point, xy in visible if xy[2]},
                        "box": each["bbox"],
                        "split": split,
                    }
                )
    content = {
        "categories": {kind: {"keypoints": names, "left_right": sides} for kind in ("cat", "dog")},
        "images": images,
    }
    (folder / "keypoints.json").write_text(json.dumps(content), "utf-8")
    return folder
