"""Feature maps: the descriptors of one image, and where in it they lie."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from os import PathLike
from typing import IO, Any, Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from .errors import GeoAwareError, InputError
from .files import replacing
from .geometry import Frame, Grid


class Features(Protocol):
    """Descriptors of one image, in memory or in a store."""

    @property
    def bundle(self) -> str:
        """Hash of the bundle that made them; only those of one bundle can be compared."""

    @property
    def grid(self) -> Grid:
        """The grid of the descriptors' cells."""

    @property
    def descriptors(self) -> NDArray[np.float32]:
        """All descriptors (rows, cols, channels)."""

    def at(self, cells: NDArray[np.intp]) -> NDArray[np.float32]:
        """The descriptors of cells (x, y) (K, 2): (K, channels)."""


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

    @property
    def grid(self) -> Grid:
        """The grid of the descriptors' cells."""
        rows, columns, _ = self.descriptors.shape
        return Grid(self.frame, rows, columns)

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
