"""What lies in a feature store, and what may go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from .errors import GeoAwareError
from .store import SUFFIX, FeatureStore, Key, StoredAs

_ENTRY = re.compile(
    r"(?P<bundle>[0-9a-f]{16})/(?P<kind>float16|int8)/[0-9a-f]{2}/"
    r"(?P<digest>[0-9a-f]{64})(?P<mirrored>-mirrored)?\.safetensors"
)
_LEFT_BEHIND = re.compile(r"[0-9a-f]{16}/(float16|int8)/[0-9a-f]{2}/\.geoaware-\w+")


@dataclass(frozen=True)
class Entry:
    """A file of the store; `modified` is the time it was written, in seconds since 1970."""

    path: Path
    store: FeatureStore
    key: Key
    bytes: int
    modified: float


def entries(root: Path) -> Iterator[Entry]:
    """The entries of all bundles, sorted by path; files of other kinds are left alone."""
    for path in sorted(root.glob(f"*/*/*/*{SUFFIX}")):
        match = _ENTRY.fullmatch(path.relative_to(root).as_posix())
        if match and not path.is_symlink():
            store = FeatureStore(root, match["bundle"], cast("StoredAs", match["kind"]))
            key = Key(match["digest"], bool(match["mirrored"]))
            if store.path(key) != path:
                continue
            facts = path.stat()
            yield Entry(path, store, key, facts.st_size, facts.st_mtime)


def left_behind(root: Path) -> list[Path]:
    """Files that processes killed in the middle of writing have left."""
    found = sorted(root.glob("*/*/*/.geoaware-*"))
    return [path for path in found if _LEFT_BEHIND.fullmatch(path.relative_to(root).as_posix())]


def remove(path: Path) -> None:
    """Remove a file of the store; its folder stays, for a process that may be writing there.

    Raises GeoAwareError where it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be removed: {error.strerror}") from None
