"""Where a dataset is put, by one process at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import GeoAwareError, InputError
from . import DATASETS, root_of

Advance = Callable[[int, "int | None"], None]
"""Told how much is done, and of how much; None where that is not known."""


def destination(name: str, root: str | None) -> Path:
    """The folder a dataset goes to, there or not: the one given, or under `$GEOAWARE_DATA`.

    Links are followed, so that what lies beside it is on the same disk. Raises InputError where
    no folder is given, or what is there is none.
    """
    folder = (Path(root) if root else _default(name)).resolve()
    if not folder.name:
        raise InputError(f"{folder}: name a folder for the dataset")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a folder")
    return folder


def beside(root: Path, name: str) -> Path:
    """The path of a file or folder beside a dataset's; a name has a {} for that of the dataset.

    Beside a mount point is another disk, from which nothing can be moved in place: there it lies
    inside.
    """
    parent = root if root.is_mount() else root.parent
    return parent / name.format(root.name)


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the right to fill a dataset's folder; the system takes it back from a killed process.

    Raises GeoAwareError where another process has it.
    """
    path = beside(root, ".{}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(path)
    except (BlockingIOError, PermissionError) as error:
        raise GeoAwareError(_refusal(path, root, error)) from None
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be written: {error.strerror}") from None
    with file:
        try:
            yield
        finally:
            if sys.platform != "win32":  # where a file that is open cannot be removed
                path.unlink(missing_ok=True)


def _default(name: str) -> Path:
    try:
        return root_of(name, None)
    except InputError:
        data = os.environ.get("GEOAWARE_DATA")
        if not data:
            raise
        return Path(data) / (*DATASETS[name].folders, name)[0]


def _locked(path: Path) -> IO[bytes]:
    while True:
        file = path.open("ab")
        try:
            _lock(file.fileno())
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()  # its last holder has removed it: it locks nobody else out


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _refusal(path: Path, root: Path, error: OSError) -> str:
    if isinstance(error, BlockingIOError) or sys.platform == "win32":
        return f"{root}: another georun data prepare is filling it; wait for it to end"
    return f"{path}: cannot be written: {error.strerror}"
