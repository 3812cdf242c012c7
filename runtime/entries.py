"""Entries of a store: tensors and the facts about them, in one safetensors file with a checksum."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .errors import GeoAwareError
from .files import replacing

_FACTS = "geoaware"  # one key: the order of several is not the same in every file


class EntryFile:
    """An entry of a store, read as far as it is asked for.

    facts: what was written about the tensors.
    """

    def __init__(self, path: Path) -> None:
        """Open an entry. Raises GeoAwareError where the file is not a whole one."""
        self._path = path
        with reading(path):
            self._file = _opened(path)
            self.facts: dict[str, Any] = json.loads(self._file.metadata()[_FACTS])
            self._checksum = self.facts.pop("crc32")

    @property
    def names(self) -> list[str]:
        """The names of the tensors, sorted."""
        return sorted(self._file.keys())

    def tensor(self, name: str) -> NDArray[Any]:
        """A tensor, whole. Raises GeoAwareError where it cannot be read."""
        try:
            tensor: NDArray[Any] = self._file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise GeoAwareError(f"{self._path}: cannot be read: {error}") from None
        return tensor

    def slices(self, name: str) -> Any:
        """A tensor of which only what is indexed is read."""
        return self._file.get_slice(name)

    def holds(self) -> bool:
        """Whether the content is what was written. Raises GeoAwareError where it is unreadable."""
        tensors = {name: self.tensor(name) for name in self.names}
        return bool(_checksum(self.facts, tensors) == self._checksum)


class Entry(Protocol):
    """What a store gives for an entry's file."""

    def holds(self) -> bool:
        """Whether the content is what was written."""


def entry_holds(path: Path, load: Callable[[], Entry]) -> bool | None:
    """Whether the content of an entry is what was written; None where there is no file.

    load: opens the entry, and raises GeoAwareError where it is not a whole one, or another's.
    """
    if not path.exists():
        return None
    try:
        return load().holds()
    except GeoAwareError:
        return False


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise GeoAwareError where what is read in here shows that the file is no entry."""
    try:
        yield
    except (SafetensorError, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise GeoAwareError(f"{path}: no entry of the feature store: {error}") from None


def write_entry(path: Path, tensors: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Write an entry of C-contiguous tensors; it is there whole or not at all.

    Raises GeoAwareError where it cannot be written.
    """
    known = {**facts, "crc32": _checksum(facts, tensors)}
    write(path, save(dict(tensors), {_FACTS: json.dumps(known)}))


def write(path: Path, content: bytes) -> None:
    """Write a file of a store and the folders it lies in. Raises as `write_entry` does."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GeoAwareError(f"{path.parent}: cannot be made: {error.strerror}") from None
    with replacing(path) as file:
        file.write(content)


def _opened(path: Path) -> Any:  # safetensors says nothing of its types
    return safe_open(path, framework="numpy")


def _checksum(facts: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> int:
    """CRC-32 of all that an entry says: it tells of damage, not of malice."""
    checksum = zlib.crc32(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].data, checksum)
    return checksum
