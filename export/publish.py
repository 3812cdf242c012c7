"""Bundles appear whole or not at all, one builder at a time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..runtime.bundle import read_manifest
from ..runtime.errors import GeoAwareError, InputError
from ..runtime.manifest import MANIFEST

# Where in its folder a build puts the bundle that it replaces, until it is replaced.
REPLACED = "replaced"


@contextmanager
def building(target: Path, report: Callable[[str], None]) -> Iterator[Path]:
    """A folder to build in, beside the target and alone there: yields it, removes it after.

    It lies in `.<name>.tmp`, which belongs to whoever holds `.<name>.lock`; what an interrupted
    build left there is cleared away first, and the old bundle put back where that build had moved
    it away and not yet replaced it. Waits while another process builds the same bundle.
    Raises InputError where the place cannot be written.
    """
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    work = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass  # a lock that cannot be written would look like one that is held
        try:
            lock.acquire(timeout=0)
        except Timeout:
            report("waiting for another build of the same bundle")
            lock.acquire()
    except OSError as error:
        raise InputError(f"{target.parent}: cannot be written: {error.strerror}") from None
    try:
        _clear(work, target)
        (work / "new").mkdir(parents=True)
        try:
            yield work / "new"
        finally:
            _clear(work, target)
    finally:
        lock.release()


def check_replaceable(target: Path) -> None:
    """Raise InputError where the target holds anything but a bundle: nothing else is replaced."""
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{target}: is a file; name a folder")
    present = {entry.name for entry in target.iterdir()}
    if not present:
        return
    own = {MANIFEST}
    if MANIFEST in present:
        try:
            manifest = read_manifest(target)
            own |= {file.name for file in (*manifest.files, *manifest.engine_files)}
        except GeoAwareError:
            own |= {name for name in present if name.endswith((".onnx", ".onnx.data", ".engine"))}
    if MANIFEST not in present or present - own:
        other = sorted(present - own)[0]
        raise InputError(
            f"{target}: holds {other}, which is no part of a bundle; name another folder"
        )


def publish(folder: Path, target: Path) -> None:
    """Move a finished build from its `building` folder to its place, replacing the bundle there.

    Everything is on disk before the move. A crash in between leaves the old bundle, the new one, or
    none until the next build of it, which begins with putting the old one back.
    """
    for file in folder.iterdir():
        _flush(file)
    _flush(folder)
    if target.exists():
        target.rename(folder.with_name(REPLACED))
    folder.rename(target)
    _flush(target.parent)
    shutil.rmtree(folder.with_name(REPLACED), ignore_errors=True)


def carry_over(file: Path, folder: Path) -> None:
    """Put a file of the bundle that is there into the folder of the one to replace it."""
    try:
        (folder / file.name).hardlink_to(file)
    except OSError:  # a file system without links
        shutil.copy2(file, folder)


def _clear(work: Path, target: Path) -> None:
    """Remove a build's folder, after the bundle in it that nothing came to replace was put back."""
    replaced = work / REPLACED
    if replaced.exists() and not target.exists():
        replaced.rename(target)
    shutil.rmtree(work, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
