"""Many different photographs, cut from those that ship: no dataset is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoaware.examples import PHOTOGRAPHS
from geoaware.runtime.images import load

LARGEST_MARGIN = 0.15  # of a side, that is cut off at most


@dataclass(frozen=True)
class Crop:
    """A part of a photograph, in a file of its own.

    photograph: its number among those that ship. left, top: where in it the part begins.
    size, whole: width and height of the part and of the photograph, in pixels.
    """

    path: Path
    photograph: int
    left: int
    top: int
    size: tuple[int, int]
    whole: tuple[int, int]


def crops(folder: Path, count: int) -> list[Crop]:
    """Write different parts of the photographs that ship as JPEG, one of each in turn.

    Every part holds its photograph's middle, all but LARGEST_MARGIN at each border.
    """
    generator = np.random.default_rng(0)
    photographs = [load(path) for path in PHOTOGRAPHS]
    made = []
    for number in range(count):
        which = number % len(photographs)
        image = photographs[which]
        margins = generator.uniform(0, LARGEST_MARGIN, (2, 2)) * image.size
        left, top = margins[0].astype(int).tolist()
        right, bottom = (image.size - margins[1]).astype(int).tolist()
        path = folder / f"{number:03}.jpg"
        image.crop((left, top, right, bottom)).save(path, quality=90)
        made.append(Crop(path, which, left, top, (right - left, bottom - top), image.size))
    return made
