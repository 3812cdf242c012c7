"""Frames and points: the affine map between an image's pixels and what a network sees.

Points are (x, y) in original-image pixels, x to the right and y down. Coordinates are
continuous: pixel i covers [i, i + 1), its centre lies at i + 0.5, and an image of width W
spans [0, W]. Frames use the same convention, so no half-pixel is ever added or dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

Mode = Literal["letterbox", "stretch", "corner"]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """The square canvas a network sees, and where in it an image lies.

    The image of width x height pixels covers [left, left + inner_width] x
    [top, top + inner_height] of a side x side canvas; the rest is padding.
    """

    side: int
    width: int
    height: int
    inner_width: int
    inner_height: int
    left: int
    top: int

    @classmethod
    def fit(cls, mode: Mode, side: int, width: int, height: int) -> Frame:
        """Place an image of width x height pixels in a frame.

        `letterbox` keeps the aspect: the longer side fills the frame, the other is rounded to
        whole pixels and centred. `stretch` fills the frame in both directions. `corner` is SAM's:
        as `letterbox`, with halves rounded up and the image at the top left.
        """
        if mode == "stretch":
            return cls(side, width, height, side, side, 0, 0)
        longer = max(width, height)
        if mode == "corner":
            inner_width, inner_height = (
                max(1, int(size * (side / longer) + 0.5)) for size in (width, height)
            )
            return cls(side, width, height, inner_width, inner_height, 0, 0)
        inner_width = max(1, round(side * width / longer))
        inner_height = max(1, round(side * height / longer))
        left, top = (side - inner_width) // 2, (side - inner_height) // 2
        return cls(side, width, height, inner_width, inner_height, left, top)

    def to_frame(self, points: Points) -> Points:
        """Original-image pixels (K, 2) to frame pixels (K, 2)."""
        scale = np.array([self.inner_width / self.width, self.inner_height / self.height])
        placed: Points = points * scale + np.array([self.left, self.top])
        return placed

    def to_image(self, points: Points) -> Points:
        """Frame pixels (K, 2) to original-image pixels (K, 2); the inverse of `to_frame`."""
        scale = np.array([self.width / self.inner_width, self.height / self.inner_height])
        original: Points = (points - np.array([self.left, self.top])) * scale
        return original

    def contains(self, points: ArrayLike) -> Points:
        """The points as float64 (K, 2) after a check that each lies on the image, border included.

        Raises InputError naming the first point that does not.
        """
        try:
            array = np.asarray(points, np.float64)
        except (TypeError, ValueError):
            raise InputError("points must be numbers: a list of (x, y)") from None
        if array.ndim != 2 or array.shape[1] != 2:
            raise InputError(f"points have shape {array.shape}; they must be (K, 2): x and y")
        inside = ((array >= 0) & (array <= (self.width, self.height))).all(axis=1)
        if not inside.all():
            number = int(np.flatnonzero(~inside)[0])
            x, y = array[number]
            raise InputError(
                f"point {number + 1} ({x:g}, {y:g}) lies outside the image, "
                f"which is {self.width} x {self.height} pixels"
            )
        return array


@dataclass(frozen=True)
class Grid:
    """rows x columns cells that cover a frame."""

    frame: Frame
    rows: int
    columns: int

    def cells(self, points: Points) -> NDArray[np.intp]:
        """The cell (x, y) that holds each point (K, 2) of the image: (K, 2).

        A point on the far border belongs to the last cell.
        """
        cells = np.floor(self.frame.to_frame(points) / self._stride()).astype(np.intp)
        return cells.clip(0, (self.columns - 1, self.rows - 1))

    def points(self, cells: NDArray[np.floating] | NDArray[np.intp]) -> Points:
        """Cell coordinates (K, 2) to points (K, 2) of the image; whole numbers are cell centres.

        Cells may lie on the frame's padding: their points are moved to the image's border.
        """
        return self.places(cells).clip(0, (self.frame.width, self.frame.height))

    def places(self, cells: NDArray[np.floating] | NDArray[np.intp]) -> Points:
        """As `points`, but cells on the padding keep their places beyond the image's border."""
        return self.frame.to_image((np.asarray(cells, np.float64) + 0.5) * self._stride())

    def numbers(self, cells: NDArray[np.intp]) -> NDArray[np.intp]:
        """Row-major numbers (K,) of cells (x, y) (K, 2)."""
        found: NDArray[np.intp] = cells[:, 1] * self.columns + cells[:, 0]
        return found

    def numbered(self, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        """Cells (x, y) (K, 2) of row-major numbers (K,); the inverse of `numbers`."""
        return np.stack([numbers % self.columns, numbers // self.columns], axis=1)

    def _stride(self) -> NDArray[np.float64]:
        return np.array([self.frame.side / self.columns, self.frame.side / self.rows])


def mirrored(points: Points, width: int) -> Points:
    """Where points (K, 2) of an image lie in its mirror image, left and right swapped."""
    return np.stack([width - points[:, 0], points[:, 1]], axis=1)


def grid_points(width: int, height: int, n: int) -> Points:
    """The centres of n x n equal tiles of an image, row by row: (n * n, 2) in pixels."""
    x, y = np.meshgrid((np.arange(n) + 0.5) * width / n, (np.arange(n) + 0.5) * height / n)
    return np.stack([x.ravel(), y.ravel()], axis=1)
