"""Output files: checked before the work, whole after it."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import GeoAwareError, InputError


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise InputError where a file cannot be written, before any work is done for it."""
    target = Path(path)
    try:
        if target.is_dir():
            raise InputError(f"{target}: is a folder; name a file")
        if not target.parent.is_dir():
            raise InputError(f"{target}: the folder {target.parent} does not exist")
        if not os.access(target if target.exists() else target.parent, os.W_OK):
            raise InputError(f"{target}: may not be written; check its permissions")
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from None


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write that takes its place when it is complete, and vanishes where it is not.

    Links are followed, permissions kept, and what is no regular file is written to directly.
    Raises GeoAwareError where the file cannot be written.
    """
    target = Path(path).resolve()
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                yield file
            return
        unfinished = target.with_name(f".geoaware-{secrets.token_hex(8)}")
        try:
            with unfinished.open("xb") as file:
                yield file
            if target.exists():
                unfinished.chmod(stat.S_IMODE(target.stat().st_mode))
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be written: {error.strerror or error}") from None
