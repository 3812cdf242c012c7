"""The store of raw taps: what backbones make of an image, before weights, fusion and head.

It lies in the feature store's folder, one safetensors file an image:

    <root>/<identity>/taps/taps.json                  what they are taps of
    <root>/<identity>/taps/<first two digits>/<digest>[-mirrored].safetensors

The digest is the SHA-256 of the image file. A file holds one float16 tensor (c, h, w) per tap,
named as the exporter's graphs name it, such as `backbone0.block12`. The identity changes with the
frame, the backbones, their taps and their weights, and with nothing else: recipes that only fuse or
match differently share their taps. So do devices: taps that a GPU made in half precision and those
that a CPU made in full may lie side by side, as features of one bundle do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..export.weights import Weights
from ..runtime.entries import EntryFile, entry_holds, reading, write, write_entry
from ..runtime.errors import GeoAwareError, first_line
from ..runtime.geometry import Frame
from ..runtime.recipe import Recipe
from ..runtime.store import Key

LARGEST = float(np.finfo(np.float16).max)


class StoredTaps:
    """The taps of an entry, read when they are asked for."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        """Open an entry. Raises GeoAwareError where the file is not a whole one."""
        self._file, self._names = EntryFile(path), names
        with reading(path):
            facts = self._file.facts
            self.key = Key(facts["image"], facts["mirrored"])
            self.identity: str = facts["taps"]
            self.frame = Frame(**facts["frame"])

    @cached_property
    def taps(self) -> list[NDArray[np.float16]]:
        """One float16 (c, h, w) per tap, in the recipe's order."""
        return [self._file.tensor(name) for name in self._names]

    def holds(self) -> bool:
        """Whether the entry's content is what was written."""
        return self._file.holds()


@dataclass(frozen=True)
class TapStore:
    """The entries of some backbones' taps. Several processes may read and write it at once.

    identity: 16 hex digits that change whenever the taps of an image may change.
    names: of the taps, in the recipe's order.
    """

    root: Path
    identity: str
    names: tuple[str, ...]

    @classmethod
    def open(cls, root: Path, recipe: Recipe, weights: Mapping[str, Weights]) -> TapStore:
        """The store of a recipe's taps; what they are of is written to its `taps.json`.

        weights: of the backbones and what conditions them, by part.

        Raises GeoAwareError where it cannot be written, or says another thing.
        """
        content = _description(recipe, weights)
        identity = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
        names = tuple(
            f"backbone{index}.{tap.at}"
            for index, use in enumerate(recipe.backbones)
            for tap in use.taps
        )
        store = cls(root, identity, names)
        _described(store.folder / "taps.json", json.dumps(content, indent=2) + "\n")
        return store

    @property
    def folder(self) -> Path:
        """Where the entries lie."""
        return self.root / self.identity / "taps"

    def path(self, key: Key) -> Path:
        """The file of an entry, there or not."""
        return self.folder / key.place

    def save(self, key: Key, taps: Sequence[NDArray[np.float32]], frame: Frame) -> None:
        """Write an entry, one (c, h, w) per tap; it is there whole or not at all.

        Raises GeoAwareError where it cannot, and for values that float16 cannot hold.
        """
        tensors = {}
        for name, tap in zip(self.names, taps, strict=True):
            largest = np.abs(tap).max()
            if not largest <= LARGEST:
                raise GeoAwareError(
                    f"{self.path(key)}: not stored: the tap {name} holds {largest:g}, beyond what "
                    f"float16 can ({LARGEST:g}); take another tap, check the weights, or, if a GPU "
                    "made it, try --device cpu"
                )
            tensors[name] = tap.astype(np.float16, order="C")
        facts = {
            "image": key.digest,
            "mirrored": key.mirrored,
            "taps": self.identity,
            "frame": asdict(frame),
        }
        write_entry(self.path(key), tensors, facts)

    def load(self, key: Key) -> StoredTaps:
        """Open an entry. Raises GeoAwareError where there is none, or another one."""
        stored = StoredTaps(self.path(key), self.names)
        if (stored.key, stored.identity) != (key, self.identity):
            raise GeoAwareError(f"{self.path(key)}: holds the taps of another image or recipe")
        return stored

    def holds(self, key: Key) -> bool | None:
        """Whether an entry's content is what was written; None where there is no entry."""
        return entry_holds(self.path(key), lambda: self.load(key))


def _description(recipe: Recipe, weights: Mapping[str, Weights]) -> dict[str, Any]:
    """All that decides what the taps of an image are, and what tells where they lie."""
    return {
        "frame": recipe.frame.model_dump(mode="json", exclude_defaults=True),
        "backbones": [
            {
                "name": use.name,
                "taps": [tap.at for tap in use.taps],
                "side": use.side or recipe.frame.side,
                "diffusion": use.diffusion
                and use.diffusion.model_dump(mode="json", exclude_defaults=True),
            }
            for use in recipe.backbones
        ],
        "weights": {part: found.sha256 or found.source for part, found in weights.items()},
    }


def _described(path: Path, text: str) -> None:
    """See that a file says this and nothing else."""
    if not path.exists():
        write(path, text.encode())
    try:
        found = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GeoAwareError(f"{path}: cannot be read: {first_line(error)}") from None
    if found != text:
        raise GeoAwareError(f"{path}: changed since it was written; remove it")
