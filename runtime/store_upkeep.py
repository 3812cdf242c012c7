"""What lies in a feature store, features and taps, and what may go."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .entries import EntryFile
from .errors import GeoAwareError
from .store import SUFFIX, Key

TAPS = "taps"
"""What heads are trained on; `<identity>/taps/taps.json` says what they are of."""

_KIND = r"(?P<owner>[0-9a-f]{16})/(?P<kind>float16|int8|taps)"
_ENTRY = re.compile(
    _KIND + r"/(?P<two>[0-9a-f]{2})/(?P<digest>(?P=two)[0-9a-f]{62})(?P<mirrored>-mirrored)?"
    r"\.safetensors"
)
_LEFT_BEHIND = re.compile(_KIND + r"/([0-9a-f]{2}/)?\.geoaware-\w+")


@dataclass(frozen=True)
class Entry:
    """A file of the store.

    owner: the hash of the bundle whose features it holds, or the identity of taps.
    kind: float16 or int8 for features, or taps.
    modified: the time it was written, in seconds since 1970.
    """

    path: Path
    owner: str
    kind: str
    key: Key
    bytes: int
    modified: float

    def holds(self) -> bool:
        """Whether the content is what was written, and what belongs in this place."""
        try:
            file = EntryFile(self.path)
            owner = file.facts.get("taps" if self.kind == TAPS else "bundle")
            found = owner, file.facts.get("image"), file.facts.get("mirrored")
            return found == (self.owner, self.key.digest, self.key.mirrored) and file.holds()
        except GeoAwareError:
            return False


def entries(root: Path) -> Iterator[Entry]:
    """The entries of all bundles and taps, sorted by path; files of other kinds are left alone."""
    for path in sorted(root.glob(f"*/*/*/*{SUFFIX}")):
        match = _ENTRY.fullmatch(path.relative_to(root).as_posix())
        if match and not path.is_symlink():
            key = Key(match["digest"], bool(match["mirrored"]))
            facts = path.stat()
            yield Entry(path, match["owner"], match["kind"], key, facts.st_size, facts.st_mtime)


def backbones_of_taps(root: Path, identity: str) -> str:
    """The names of the backbones that taps are of; empty where the store does not tell."""
    try:
        content = json.loads((root / identity / TAPS / "taps.json").read_text("utf-8"))
        return " + ".join(str(each["name"]) for each in content["backbones"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def left_behind(root: Path) -> list[Path]:
    """Files that processes killed in the middle of writing have left."""
    found = sorted(path for depth in ("*/*", "*/*/*") for path in root.glob(f"{depth}/.geoaware-*"))
    return [path for path in found if _LEFT_BEHIND.fullmatch(path.relative_to(root).as_posix())]


def remove(path: Path) -> None:
    """Remove a file of the store; its folder stays, for a process that may be writing there.

    Raises GeoAwareError where it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be removed: {error.strerror}") from None
