"""Feature maps: the descriptors of one image, and where in it they lie."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from os import PathLike
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from .errors import GeoAwareError, InputError
from .files import replacing
from .geometry import Frame, Points


@dataclass(frozen=True)
class FeatureMap:
    """Descriptors of one image on a grid over its frame.

    descriptors: (rows, cols, channels) float32, unit norm.
    frame: the map between the image's pixels and the frame that the grid covers.
    bundle: hash of the bundle that made them; only maps of one bundle can be compared.
    """

    descriptors: NDArray[np.float32]
    frame: Frame
    bundle: str

    def cells(self, points: Points) -> NDArray[np.intp]:
        """The cell (x, y) that holds each point (K, 2) of the image: (K, 2).

        A point on the far border belongs to the last cell.
        """
        cells = np.floor(self.frame.to_frame(points) / self._stride()).astype(np.intp)
        rows, columns, _ = self.descriptors.shape
        return cells.clip(0, (columns - 1, rows - 1))

    def points(self, cells: NDArray[np.floating]) -> Points:
        """Cell coordinates (K, 2) to points (K, 2) of the image; whole numbers are cell centres.

        Cells may lie on the frame's padding: their points are moved to the image's border.
        """
        points = self.frame.to_image((np.asarray(cells, np.float64) + 0.5) * self._stride())
        return points.clip(0, (self.frame.width, self.frame.height))

    def at(self, cells: NDArray[np.intp]) -> NDArray[np.float32]:
        """The descriptors of cells (x, y) (K, 2): (K, channels)."""
        found: NDArray[np.float32] = self.descriptors[cells[:, 1], cells[:, 0]]
        return found

    def save(self, file: str | PathLike[str] | IO[bytes]) -> None:
        """Write `descriptors`, `bundle` and the frame's numbers as .npz to a path or open file."""
        if isinstance(file, (str, PathLike)):
            with replacing(file) as opened:
                self.save(opened)
            return
        arrays: dict[str, Any] = asdict(self.frame)
        np.savez(file, descriptors=self.descriptors, bundle=self.bundle, **arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> FeatureMap:
        """Read what `save` wrote. Raises GeoAwareError for any other file."""
        try:
            with np.load(path, allow_pickle=False) as file:
                frame = Frame(**{name: int(file[name]) for name in Frame.__dataclass_fields__})
                return cls(file["descriptors"].astype(np.float32), frame, str(file["bundle"]))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except (OSError, KeyError, TypeError, ValueError, EOFError, BadZipFile):
            raise GeoAwareError(
                f"{path}: holds no feature map; write one with FeatureMap.save or georun features"
            ) from None

    def _stride(self) -> NDArray[np.float64]:
        rows, columns, _ = self.descriptors.shape
        return np.array([self.frame.side / columns, self.frame.side / rows])
