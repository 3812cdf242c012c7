"""Archives, member by member: .zip and .tar, told apart by their content and not by their name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from ..errors import GeoAwareError, InputError, first_line

CHUNK = 2**20
LONGEST_HEADER = 2**24  # bytes that one read of a tar may ask for: a name is never that long

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PACKERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}


class ArchiveError(GeoAwareError):
    """An archive that is damaged, unsafe, or none."""


@dataclass(frozen=True)
class Member:
    """One entry of an archive.

    kind: `file`, `folder`, or in words what else it is.
    size: bytes of a file, as the archive says.
    stream: opens a file's content, which must be read before the next member is asked for.
    """

    name: str
    kind: str
    size: int
    stream: Callable[[], IO[bytes] | None]


@dataclass(frozen=True)
class Archive:
    """An archive that is open; every reading of its members starts at the first."""

    path: Path
    size: int
    _file: IO[bytes]

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Archive]:
        """Open an archive. Raises InputError where the file cannot be opened."""
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name an archive")
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        with file:
            yield cls(path, path.stat().st_size, file)

    @property
    def position(self) -> int:
        """Where in the file the reading is, in bytes."""
        return self._file.tell()

    def members(self) -> Iterator[Member]:
        """Every member, in the archive's order.

        Raises ArchiveError for a damaged or incomplete archive and for what is none.
        """
        with self._damage():
            self._file.seek(0)
            head = self._file.read(16)
            self._file.seek(0)
            if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
                raise ArchiveError(
                    f"{self.path}: is a web page, not an archive; download it with a browser "
                    "and give it with --archive"
                )
            yield from (_in_zip if head.startswith(_ZIP) else _in_tar)(self._file, head)

    def read(self, member: Member) -> Iterator[bytes]:
        """The content of a file, piece by piece. Raises ArchiveError where it is damaged."""
        with self._damage(f"{member.name}: "):
            stream = member.stream()
            assert stream is not None
            with stream:
                while chunk := stream.read(CHUNK):
                    yield chunk

    @contextmanager
    def _damage(self, where: str = "") -> Iterator[None]:
        try:
            yield
        except GeoAwareError:
            raise
        except Exception as error:  # decoders raise whatever they like for damaged files
            raise ArchiveError(
                f"{self.path}: no .zip or .tar archive that can be read: {where}"
                f"{first_line(error)}; download it again"
            ) from None


def _in_zip(file: IO[bytes], _: bytes) -> Iterator[Member]:
    with zipfile.ZipFile(file) as opened:
        for info in opened.infolist():
            stream = cast("Callable[[], IO[bytes]]", partial(opened.open, info))
            yield Member(info.filename, _kind_in_zip(info), info.file_size, stream)


def _kind_in_zip(info: zipfile.ZipInfo) -> str:
    form = stat.S_IFMT(info.external_attr >> 16)
    if form == stat.S_IFLNK:
        return "a symbolic link"
    if form not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "neither a file nor a folder"
    if info.flag_bits & 1:
        return "encrypted"
    is_folder = info.filename.endswith(("/", "\\"))  # the latter in archives made on Windows
    return "folder" if is_folder else "file"


def _in_tar(file: IO[bytes], head: bytes) -> Iterator[Member]:
    packers = [packer for magic, packer in _PACKERS.items() if head.startswith(magic)]
    watched = _Watched(packers[0](file) if packers else file)
    with tarfile.TarFile(fileobj=cast("IO[bytes]", watched)) as opened:
        for info in opened:
            stream = partial(opened.extractfile, info)
            yield Member(info.name, _kind_in_tar(info), info.size, stream)
    watched.check_end()


def _kind_in_tar(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "a symbolic link" if info.issym() else "a hard link"
    if info.isdir():
        return "folder"
    return "file" if info.isfile() else "neither a file nor a folder"


class _Watched:
    """A stream that knows what was read of it last.

    tarfile takes a header that it cannot read for the archive's end, and never comes to the
    checksum that ends a compressed stream.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._last = b""

    def read(self, size: int) -> bytes:
        if size > LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self._last = self._stream.read(size)
        return self._last

    def seek(self, offset: int) -> int:
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()

    def check_end(self) -> None:
        """Raise ReadError where the archive stops without its end mark or its checksum fails."""
        if self._last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it stops before its end")
        while self._stream.read(CHUNK):
            pass
