"""A dataset's archive, unpacked into its folder: all of it or nothing, and nowhere else."""

from __future__ import annotations

import re
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ..errors import GeoAwareError, InputError
from .archive import Archive, ArchiveError, Member
from .place import Advance, beside

MOST_BYTES = 40 * 10**9
MOST_MEMBERS = 500_000

LAYOUT_FOLDERS = {
    "ImageAnnotation", "JPEGImages", "Layout", "PF-dataset", "PF-dataset-PASCAL", "PairAnnotation",
    "annotations", "data",
}  # fmt: skip
"""Folders that datasets have at their top."""

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What an archive was found to hold, and where it goes.

    paths: per member its path in the dataset's folder; what is not unpacked has none.
    size: bytes of all files.
    """

    archive: Path
    paths: dict[str, Parts]
    size: int


def inspect(path: Path, advance: Advance) -> Plan:
    """Read an archive through once, before anything of it is written.

    An archive that holds one folder only, such as `SPair-71k/`, gives that folder's content,
    unless it is one that datasets have at their top (`LAYOUT_FOLDERS`). What macOS adds
    (`__MACOSX`, `._*`, `.DS_Store`) is left out.

    Raises InputError for a file that is not there, ArchiveError for one that is no archive or
    damaged, has a member that is unsafe (no file or folder; a path that leads elsewhere, or where
    another member goes), or holds more than 40 GB or 500,000 members.
    """
    paths: dict[str, Parts] = {}
    size = 0
    claims = _Claims()
    with Archive.open(path) as archive:
        for count, member in enumerate(archive.members(), 1):
            parts = _safe_parts(path, member)
            size += member.size
            _check_limits(path, size, count)
            advance(archive.position, archive.size)
            if not parts or _is_debris(parts):
                continue
            if not claims.take(parts, member.kind == "file"):
                raise _unsafe(path, member, "goes where another member goes")
            paths[member.name] = parts
    if not claims.files:
        raise ArchiveError(f"{path}: the archive holds no files")
    return Plan(path, _without_top(paths, claims), size)


def unpack(plan: Plan, root: Path, advance: Advance) -> None:
    """Unpack an archive into a dataset's folder, which may be there already.

    The files are written to `.<name>.unpacking` beside the folder, then moved: a run that is
    interrupted leaves that at most, and the next one removes it. To be called by the holder of
    `place.alone`.

    Raises InputError where the folder has one of the entries already, GeoAwareError where the disk
    is full or cannot be written, ArchiveError for damage found while unpacking.
    """
    _check_free(plan, root)
    work = beside(root, ".{}.unpacking")
    try:
        if work.exists():
            shutil.rmtree(work)
        work.mkdir(parents=True)
        if (free := shutil.disk_usage(work).free) < plan.size:
            raise GeoAwareError(
                f"{work.parent}: has {free / 1e9:.1f} GB of free space; "
                f"{plan.archive.name} needs {plan.size / 1e9:.1f}"
            )
        _write(plan, work, advance)
        _move(work, root)
    except OSError as error:
        raise GeoAwareError(f"{root}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _safe_parts(path: Path, member: Member) -> Parts:
    """The names a member's path is made of. Raises ArchiveError for one that is unsafe."""
    if member.kind not in ("file", "folder"):
        raise _unsafe(path, member, f"is {member.kind}")
    name = member.name.replace("\\", "/")  # archives made on Windows
    parts = name.split("/")
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        raise _unsafe(path, member, "is an absolute path")
    if ".." in parts or "\0" in name:
        raise _unsafe(path, member, "leads out of the folder")
    kept = tuple(part for part in parts if part not in ("", "."))
    if not kept and member.kind == "file":
        raise _unsafe(path, member, "has no name")
    return kept


def _unsafe(path: Path, member: Member, why: str) -> ArchiveError:
    return ArchiveError(
        f"{path}: not unpacked: its member {member.name!r} {why}; get the archive from its source"
    )


def _check_limits(path: Path, size: int, count: int) -> None:
    if size > MOST_BYTES:
        raise ArchiveError(f"{path}: holds more than {MOST_BYTES / 1e9:g} GB")
    if count > MOST_MEMBERS:
        raise ArchiveError(f"{path}: holds more than {MOST_MEMBERS:,} members")


def _is_debris(parts: Parts) -> bool:
    return parts[0] == "__MACOSX" or parts[-1].startswith("._") or parts[-1] == ".DS_Store"


class _Claims:
    """Which paths members go to, as a disk sees them that takes A for a and é for e and ´."""

    def __init__(self) -> None:
        self._taken: dict[str, Parts] = {}
        self.files: set[Parts] = set()

    def take(self, parts: Parts, is_file: bool) -> bool:
        """Claim a path and the folders above it; False where another member has one of them."""
        for end in range(1, len(parts) + 1):
            path = parts[:end]
            key = unicodedata.normalize("NFC", "/".join(path)).casefold()
            is_new = key not in self._taken
            known = self._taken.setdefault(key, path)
            if known != path or path in self.files:
                return False
            if is_file and path == parts and not is_new:
                return False
        if is_file:
            self.files.add(parts)
        return True


def _without_top(paths: dict[str, Parts], claims: _Claims) -> dict[str, Parts]:
    [top, *others] = {parts[0] for parts in paths.values()}
    if others or top in LAYOUT_FOLDERS or (top,) in claims.files:
        return paths
    return {name: parts[1:] for name, parts in paths.items() if len(parts) > 1}


def _check_free(plan: Plan, root: Path) -> None:
    for top in sorted({parts[0] for parts in plan.paths.values()}):
        if (root / top).is_symlink() or (root / top).exists():
            raise InputError(
                f"{root}: already holds {top}; remove it first, or name another folder with --root"
            )


def _write(plan: Plan, folder: Path, advance: Advance) -> None:
    written = 0
    with Archive.open(plan.archive) as archive:
        for member in archive.members():
            if member.name not in plan.paths:
                continue
            target = folder.joinpath(*plan.paths[member.name])
            if member.kind == "folder":
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                for chunk in archive.read(member):
                    written += len(chunk)
                    _check_limits(plan.archive, written, 0)
                    file.write(chunk)
                    advance(archive.position, archive.size)


def _move(work: Path, root: Path) -> None:
    """Rename the work folder, or where there is a folder already, the entries, all or none."""
    if not root.exists():
        work.rename(root)
        return
    moved: list[Path] = []
    try:
        for entry in sorted(work.iterdir()):
            entry.rename(root / entry.name)
            moved.append(entry)
    except BaseException:
        for entry in moved:
            (root / entry.name).rename(entry)
        raise
