"""SPair-71k: lists of pairs, a file of mutually visible keypoints per pair, one of all per image.

Names of pair files contain a colon; they are the official ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import InputError
from ..geometry import Points
from .inspector import Inspector, check_unpacked, read_list
from .pair import Box, Listing, Pair

LAYOUT = (
    "SPair-71k is a folder with Layout/{large,small}/{trn,val,test}.txt, "
    "PairAnnotation/{trn,val,test}, ImageAnnotation/<category> and JPEGImages/<category>."
)
SOURCE = "Get it: https://cvlab.postech.ac.kr/research/SPair-71k/"

_SPLITS = {"train": "trn", "val": "val", "test": "test"}
_LINE = re.compile(r"\d{6}-(\w+)-(\w+):(\w+)")
_DIRECTIONS = 8  # azimuths that an image may have, a full circle
_NOT_VISIBLE = (np.nan, np.nan)

KeypointId = Annotated[int, Field(ge=0, strict=False)]  # strings of digits in the files
Point = tuple[float, float]


class _File(BaseModel):
    """A schema that neither mends types nor takes NaN; keys that are not needed may be there."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class _ImageFile(_File):
    category: str
    image_width: int
    image_height: int
    kps: dict[KeypointId, Point | None]
    azimuth_id: int | None = None


class _PairFile(_File):
    category: str
    src_imname: str
    trg_imname: str
    src_imsize: tuple[int, int, int]
    trg_imsize: tuple[int, int, int]
    src_bndbox: Box
    trg_bndbox: Box
    src_kps: tuple[Point, ...]
    trg_kps: tuple[Point, ...]
    kps_ids: tuple[KeypointId, ...]
    viewpoint_variation: int
    scale_variation: int
    truncation: int
    occlusion: int
    mirror: int

    @model_validator(mode="after")
    def _points_have_ids(self) -> _PairFile:
        if not len(self.src_kps) == len(self.trg_kps) == len(self.kps_ids):
            raise ValueError("src_kps, trg_kps and kps_ids have different lengths")
        if len(set(self.kps_ids)) < len(self.kps_ids):
            raise ValueError("kps_ids has an id twice")
        return self

    def difficulty(self) -> dict[str, int]:
        """Its fields by the names that `Pair` has for them; -1 means unknown."""
        fields = {
            "viewpoint": self.viewpoint_variation,
            "scale": self.scale_variation,
            "truncation": self.truncation,
            "occlusion": self.occlusion,
            "mirror": self.mirror,
        }
        return {name: value for name, value in fields.items() if value >= 0}


@dataclass(frozen=True)
class _Image:
    """An image and its visible keypoints by id, in its own pixels."""

    path: Path
    points: dict[int, Point]
    azimuth: int | None


def read(root: Path, split: str, setting: str) -> Listing:
    """All pairs of a split: the official list in full (`large`), or the `small` one.

    A pair has the keypoints visible in either image; where pair and image file differ, the pair
    file's coordinates hold. Raises InputError where a file or folder of the layout is missing,
    GeoAwareError where the list cannot be read.
    """
    listed = root / "Layout" / setting / f"{_SPLITS[split]}.txt"
    pairs = root / "PairAnnotation" / _SPLITS[split]
    check_unpacked((listed, pairs, root / "ImageAnnotation", root / "JPEGImages"), LAYOUT, SOURCE)
    lines = [line.strip() for line in read_list(listed).split("\n")]
    if not any(lines):
        raise InputError(f"{listed}: lists no pair; {LAYOUT} {SOURCE}")
    reader = _Reader(root, pairs)
    for number, line in enumerate(lines, start=1):
        if line:
            reader.inspector.add(reader.pair(f"{listed}, line {number}", line))
    return reader.inspector.listing()


class _Reader:
    """Reads pairs of one split; each image's annotation once."""

    def __init__(self, root: Path, pairs: Path) -> None:
        self.inspector = Inspector()
        self._root = root
        self._pairs = pairs
        self._image = cache(self._read_image)

    def pair(self, where: str, line: str) -> Pair | None:
        """The pair of a line of the list; None, and a problem noted, where it is wrong."""
        named = _LINE.fullmatch(line)
        if not named:
            self.inspector.problem(
                where, f"{line[:80]!r} is not <6 digits>-<source>-<target>:<category>"
            )
            return None
        path = self._pairs / f"{line}.json"
        source, target, category = named.groups()
        found = self.inspector.parsed(path, _PairFile)
        images = self._image(category, source), self._image(category, target)
        if found is None or images[0] is None or images[1] is None:
            return None
        said = found.src_imname, found.trg_imname, found.category
        if said != (f"{source}.jpg", f"{target}.jpg", category):
            self.inspector.problem(path, f"is about {said[0]} and {said[1]}, category {said[2]}")
            return None
        return self._merged(path, found, images[0], images[1])

    def _merged(self, path: Path, found: _PairFile, source: _Image, target: _Image) -> Pair | None:
        """A pair with what its own file says, and the other keypoints of both images."""
        of_source = source.points | dict(zip(found.kps_ids, found.src_kps, strict=True))
        of_target = target.points | dict(zip(found.kps_ids, found.trg_kps, strict=True))
        ids = tuple(sorted(of_source.keys() | of_target.keys()))
        first = self.inspector.annotated(
            path, source.path, _rows(of_source, ids), found.src_bndbox, found.src_imsize[:2]
        )
        second = self.inspector.annotated(
            path, target.path, _rows(of_target, ids), found.trg_bndbox, found.trg_imsize[:2]
        )
        if first is None or second is None:
            return None
        difficulty = found.difficulty() | _azimuth(source, target)
        return Pair(path.stem, found.category, first, second, ids, difficulty)

    def _read_image(self, category: str, name: str) -> _Image | None:
        path = self._root / "ImageAnnotation" / category / f"{name}.json"
        image = self._root / "JPEGImages" / category / f"{name}.jpg"
        found = self.inspector.parsed(path, _ImageFile)
        there = self.inspector.size(image)
        if found is None or there is None:
            return None
        if found.category != category:
            self.inspector.problem(path, f"has the category {found.category}")
            return None
        points = {number: point for number, point in found.kps.items() if point is not None}
        size = found.image_width, found.image_height
        if not self.inspector.annotated(path, image, _rows(points, list(points)), size=size):
            return None
        return _Image(image, points, found.azimuth_id)


def _rows(points: dict[int, Point], ids: Sequence[int]) -> Points:
    """The points of these ids (K, 2), NaN where there is none."""
    return np.array([points.get(number, _NOT_VISIBLE) for number in ids], np.float64).reshape(-1, 2)


def _azimuth(source: _Image, target: _Image) -> dict[str, int]:
    """Eighths of a circle between the images' directions, 0 to 4, the shorter way round."""
    if source.azimuth is None or target.azimuth is None or min(source.azimuth, target.azimuth) < 0:
        return {}
    turn = (source.azimuth - target.azimuth) % _DIRECTIONS
    return {"azimuth": min(turn, _DIRECTIONS - turn)}
