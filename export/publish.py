"""Bundles appear whole or not at all, one builder at a time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..runtime.bundle import MANIFEST, read_manifest
from ..runtime.errors import GeoAwareError, InputError


@contextmanager
def building(target: Path, report: Callable[[str], None]) -> Iterator[Path]:
    """A folder to build in, beside the target and alone there: yields it, removes it after.

    It lies in `.<name>.tmp`, which belongs to whoever holds `.<name>.lock`; what an interrupted
    build left there is cleared away first. Waits while another process builds the same bundle.
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
        shutil.rmtree(work, ignore_errors=True)
        (work / "new").mkdir(parents=True)
        yield work / "new"
    finally:
        shutil.rmtree(work, ignore_errors=True)
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

    Everything is on disk before the move. A crash in between leaves the old bundle or none.
    """
    for file in folder.iterdir():
        _flush(file)
    _flush(folder)
    if target.exists():
        target.rename(folder.with_name("replaced"))
    folder.rename(target)
    _flush(target.parent)


def carry_over(file: Path, folder: Path) -> None:
    """Put a file of the bundle that is there into the folder of the one to replace it."""
    try:
        (folder / file.name).hardlink_to(file)
    except OSError:  # a file system without links
        shutil.copy2(file, folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
