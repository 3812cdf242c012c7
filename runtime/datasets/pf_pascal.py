"""PF-Pascal: lists of pairs as CSV, with the keypoints in them or in MATLAB files."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from io import StringIO
from math import isfinite
from pathlib import Path

import numpy as np

from ..errors import GeoAwareError, InputError
from ..geometry import Points
from .inspector import Inspector, check_inside, check_scipy, check_unpacked, read_list
from .pair import AnnotatedImage, Listing, Pair, Pairing

LAYOUT = (
    "PF-Pascal is a folder with PF-dataset-PASCAL/JPEGImages, "
    "PF-dataset-PASCAL/Annotations/<category>/*.mat and, beside these or in the folder itself, "
    "{train,val,test}_pairs_pf_pascal.csv."
)
SOURCE = (
    "Get it: https://www.di.ens.fr/willow/research/proposalflow/dataset/PF-dataset-PASCAL.zip and "
    "https://www.di.ens.fr/willow/research/cnngeometric/other_resources/test_pairs_pf_pascal.csv"
)

CATEGORIES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip

_FOLDER = "PF-dataset-PASCAL"
_WITH_FLIP = 4  # columns of a list that leaves the keypoints to the MATLAB files
_WITH_POINTS = 7


@dataclass(frozen=True)
class _Row:
    """A line of a list: two images relative to the root, and their keypoints where it has them."""

    where: str
    source: str
    target: str
    category: str
    points: tuple[Points, Points] | None

    @property
    def name(self) -> str:
        return f"{self.category}/{Path(self.source).stem}-{Path(self.target).stem}"


def read(root: Path, split: str, setting: str) -> Listing:
    """All pairs of a split's list, but not the mirrored ones that the training list adds.

    Keypoints that the list has are visible in both images and numbered as they stand there;
    those of the MATLAB files are numbered as there. Raises InputError where a file or folder of
    the layout is missing, GeoAwareError where the list cannot be read or scipy is not installed.
    """
    listed = _list(root, split)
    lines = _lines(listed)
    needed = [root / _FOLDER / "JPEGImages"]
    if any(len(cells) == _WITH_FLIP for _, cells in lines):
        check_scipy("PF-Pascal")
        needed.append(root / _FOLDER / "Annotations")
    check_unpacked(needed, LAYOUT, SOURCE)
    reader = _Reader(root)
    for number, cells in lines:
        if not _is_mirrored(cells):
            reader.inspector.add(reader.pair(f"{listed}, line {number}", cells))
    return reader.inspector.listing()


def _list(root: Path, split: str) -> Path:
    name = f"{split}_pairs_pf_pascal.csv"
    for path in (root / _FOLDER / name, root / name):
        if path.is_file():
            return path
    raise InputError(f"{root / _FOLDER / name}: no such file; {LAYOUT} {SOURCE}")


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """The lines of a list, with their numbers, without a header and empty ones."""
    lines = csv.reader(StringIO(read_list(path)))
    try:
        numbered = [(lines.line_num, cells) for cells in lines if cells]
    except csv.Error as error:
        raise GeoAwareError(f"{path}: is damaged: {error}; get it again") from None
    found = numbered[1:] if numbered and _is_header(numbered[0][1]) else numbered
    if not found:
        raise InputError(f"{path}: lists no pair; {LAYOUT} {SOURCE}")
    return found


def _is_header(cells: list[str]) -> bool:
    return len(cells) > 2 and not cells[2].strip().isdecimal()


def _is_mirrored(cells: list[str]) -> bool:
    return len(cells) == _WITH_FLIP and cells[3].strip() == "1"


class _Reader:
    """Reads the pairs of a list; each MATLAB file once."""

    def __init__(self, root: Path) -> None:
        self.inspector = Inspector()
        self._root = root
        self._image = cache(self._read_image)
        self._pairing = Pairing()

    def pair(self, where: str, cells: list[str]) -> Pair | None:
        """The pair of a line; None, and a problem noted, where it is wrong."""
        try:
            row = _parsed(where, cells)
        except ValueError as error:
            self.inspector.problem(where, str(error))
            return None
        return self._listed(row) if row.points else self._annotated(row)

    def _listed(self, row: _Row) -> Pair | None:
        """A pair whose keypoints are in the list."""
        assert row.points
        source, target = (
            self.inspector.annotated(row.where, self._root / name, points)
            for name, points in zip((row.source, row.target), row.points, strict=True)
        )
        if source is None or target is None:
            return None
        return Pair(row.name, row.category, source, target, tuple(range(len(source.points))))

    def _annotated(self, row: _Row) -> Pair | None:
        """A pair whose keypoints are in MATLAB files."""
        source, target = (
            self._image(row.source, row.category),
            self._image(row.target, row.category),
        )
        if source is None or target is None:
            return None
        if len(source.points) != len(target.points):
            counts = f"{len(source.points)} and {len(target.points)}"
            self.inspector.problem(row.where, f"its images have {counts} keypoints")
            return None
        return self._pairing.pair(row.name, row.category, source, target)

    def _read_image(self, name: str, category: str) -> AnnotatedImage | None:
        image = self._root / name
        path = self._root / _FOLDER / "Annotations" / category / f"{image.stem}.mat"
        found = self.inspector.matrix(path, "kps")
        there = self.inspector.size(image)
        if found is None or there is None:
            return None
        if found.shape[1] != 2:
            self.inspector.problem(path, f"'kps' is {found.shape[0]} x {found.shape[1]}, not K x 2")
            return None
        return self.inspector.annotated(path, image, found)


def _parsed(where: str, cells: list[str]) -> _Row:
    """A line of a list by position, as copies name the columns differently.

    Raises ValueError where it has not what it should.
    """
    if len(cells) != _WITH_FLIP and len(cells) < _WITH_POINTS:
        raise ValueError(f"has {len(cells)} columns; it should have 7, or 4 with flip")
    source, target, category = (cell.strip() for cell in cells[:3])
    for name in (source, target):
        check_inside(name)
    if not category.isdecimal() or not 1 <= int(category) <= len(CATEGORIES):
        raise ValueError(f"class {category!r} is not 1 to {len(CATEGORIES)}")
    points = _points(cells[3:7]) if len(cells) != _WITH_FLIP else None
    if points is None and cells[3].strip() != "0":
        raise ValueError(f"flip {cells[3]!r} is neither 0 nor 1")
    return _Row(where, source, target, CATEGORIES[int(category) - 1], points)


def _points(cells: list[str]) -> tuple[Points, Points]:
    """Both images' points (K, 2) from XA, YA, XB and YB."""
    lists = [_numbers(cell) for cell in cells]
    if len({len(numbers) for numbers in lists}) > 1:
        raise ValueError("XA, YA, XB and YB have different lengths")
    return np.array(lists[:2], np.float64).T, np.array(lists[2:], np.float64).T


def _numbers(cell: str) -> list[float]:
    pieces = cell.strip().removesuffix(";").split(";")
    try:
        numbers = [float(piece) for piece in pieces]
    except ValueError:
        numbers = []
    if not numbers or not all(map(isfinite, numbers)):
        raise ValueError(f"{cell[:80]!r} is not numbers with semicolons between")
    return numbers
