"""The feature store: descriptors of images on disk, made once and read many times.

An entry is one safetensors file, keyed by the SHA-256 of the image file, the bundle's hash, and
whether the image was mirrored:

    <root>/<bundle's hash>/<float16 | int8>/<first two digits>/<digest>[-mirrored].safetensors

float16 takes 2 bytes a value. int8 takes 1: a cell's values are divided by their largest, times
127, rounded; its `scale` gives unit norm back.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .bundle import home, sha256_of
from .entries import EntryFile, entry_holds, reading, write_entry
from .errors import GeoAwareError
from .features import FeatureMap
from .geometry import Frame, Grid

StoredAs = Literal["float16", "int8"]
SUFFIX = ".safetensors"


def store_root(folder: str | None) -> Path:
    """Where features are stored: in the folder given, or beside the bundles."""
    return Path(folder) if folder else home().parent / "features"


@dataclass(frozen=True)
class Key:
    """An image, by the SHA-256 of its file's content, as it is or mirrored left to right."""

    digest: str
    mirrored: bool = False

    @classmethod
    def of(cls, image: str | PathLike[str], mirrored: bool = False) -> Key:
        """The key of an image file. Raises OSError where it cannot be read."""
        return cls(sha256_of(Path(image)), mirrored)

    @property
    def place(self) -> Path:
        """The file of the image's entry in the folder of entries of one kind."""
        name = self.digest + ("-mirrored" if self.mirrored else "") + SUFFIX
        return Path(self.digest[:2]) / name


class StoredMap:
    """The feature map of an entry, read as far as it is asked for.

    `at` reads single cells, `descriptors` the whole; both give float32.
    """

    def __init__(self, path: Path) -> None:
        """Open an entry. Raises GeoAwareError where the file is not a whole one."""
        self._file = EntryFile(path)
        with reading(path):
            facts = self._file.facts
            self.key = Key(facts["image"], facts["mirrored"])
            self.bundle: str = facts["bundle"]
            frame = Frame(**facts["frame"])
            self._values = self._file.slices("descriptors")
            rows, columns, _ = self._values.get_shape()
        self.grid = Grid(frame, rows, columns)

    @cached_property
    def descriptors(self) -> NDArray[np.float32]:
        """All descriptors (rows, cols, channels), float32."""
        return _restored(self._file.tensor("descriptors"), self._scale)

    def at(self, cells: NDArray[np.intp]) -> NDArray[np.float32]:
        """The descriptors of cells (x, y) (K, 2): (K, channels)."""
        channels = self._values.get_shape()[2]
        rows = [self._values[y : y + 1, x : x + 1].reshape(channels) for x, y in cells.tolist()]
        values = np.stack(rows) if rows else np.empty((0, channels), np.float16)
        scale = self._scale
        return _restored(values, None if scale is None else scale[cells[:, 1], cells[:, 0]])

    def holds(self) -> bool:
        """Whether the entry's content is what was written."""
        return self._file.holds()

    @cached_property
    def _scale(self) -> NDArray[np.float32] | None:
        """What int8 values are multiplied with (rows, cols); None for float16."""
        return self._file.tensor("scale") if "scale" in self._file.names else None


@dataclass(frozen=True)
class FeatureStore:
    """The entries of one bundle. Several processes may read and write it at once."""

    root: Path
    bundle: str
    stored_as: StoredAs = "float16"

    def path(self, key: Key) -> Path:
        """The file of an entry, there or not."""
        return self.root / self.bundle / self.stored_as / key.place

    def save(self, key: Key, features: FeatureMap) -> None:
        """Write an entry; it is there whole or not at all. Raises GeoAwareError where it cannot."""
        path = self.path(key)
        if not np.isfinite(features.descriptors).all():
            raise GeoAwareError(f"{path}: not stored: the descriptors hold NaN or infinite values")
        values, scale = _quantised(features.descriptors, self.stored_as)
        tensors = {"descriptors": values} | ({} if scale is None else {"scale": scale})
        facts = {
            "image": key.digest,
            "mirrored": key.mirrored,
            "bundle": self.bundle,
            "frame": asdict(features.frame),
        }
        write_entry(path, tensors, facts)

    def load(self, key: Key) -> StoredMap:
        """Open an entry. Raises GeoAwareError where there is none, or another one."""
        stored = StoredMap(self.path(key))
        if (stored.key, stored.bundle) != (key, self.bundle):
            raise GeoAwareError(f"{self.path(key)}: holds the features of another image or bundle")
        return stored

    def holds(self, key: Key) -> bool | None:
        """Whether an entry's content is what was written; None where there is no entry."""
        return entry_holds(self.path(key), lambda: self.load(key))


def _quantised(
    descriptors: NDArray[np.float32], stored_as: StoredAs
) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """Descriptors (rows, cols, channels) as they are stored, and their scale (rows, cols)."""
    if stored_as == "float16":
        return descriptors.astype(np.float16), None
    largest = abs(descriptors).max(axis=2, keepdims=True)
    steps = np.divide(127, largest, out=np.zeros_like(largest), where=largest > 0)
    values = np.rint(descriptors * steps)
    norm = np.sqrt(np.einsum("hwc,hwc->hw", values, values))
    scale = np.divide(1, norm, out=np.zeros_like(norm), where=norm > 0)
    return values.astype(np.int8), scale.astype(np.float32)


def _restored(values: NDArray[Any], scale: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if scale is None:
        return values.astype(np.float32)
    restored: NDArray[np.float32] = np.multiply(values, scale[..., None], dtype=np.float32)
    return restored
