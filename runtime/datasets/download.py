"""Downloads that go on where they were cut off."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from pydantic import TypeAdapter

from ..errors import GeoAwareError, InputError, first_line
from ..files import replacing
from .place import Advance

ATTEMPTS = 8
LONGEST_PAUSE = 30.0  # seconds between attempts; the first pause is of one, then they double
TIMEOUT = 60.0  # seconds without a byte
CHUNK = 2**18

_PASSING = {408, 425, 429, 500, 502, 503, 504}  # statuses that a later request may not get
_NOT_SATISFIABLE = 416


class _PassingError(Exception):
    """An attempt that failed in a way that another may not."""


@dataclass(frozen=True)
class _Kept:
    """What is known of the file that a partial download is a part of.

    validator: a strong ETag, or the date of the last change, where the server gave one.
    size: bytes of the whole, where the server gave them.
    """

    url: str
    validator: str | None
    size: int | None


def download(
    url: str, file: Path, advance: Advance, pause: Callable[[float], None] = time.sleep
) -> None:
    """Download a file over http or https, or the rest of it where a part is there.

    What is known of the part stands in `<file>.json`; both stay after a failure. A server that
    cannot send a part sends the whole again.

    Raises InputError for another kind of address, GeoAwareError where the server refuses or all
    attempts failed.
    """
    _check(url)
    problem = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            pause(min(2.0 ** (attempt - 1), LONGEST_PAUSE))
        try:
            with _failures_told(url, may_be_unreachable=attempt > 0):
                return _attempt(url, file, advance)
        except _PassingError as error:
            problem = str(error)
    raise GeoAwareError(
        f"{url}: {problem}; given up after {ATTEMPTS} attempts; "
        "the same command goes on from what there is"
    )


def discard(file: Path) -> None:
    """Remove a download, whole or in part, and what is known of it."""
    try:
        file.unlink(missing_ok=True)
        _notes(file).unlink(missing_ok=True)
    except OSError as error:
        raise GeoAwareError(f"{file}: cannot be removed: {error.strerror}") from None


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None or not re.fullmatch("[!-~]+", url):
        raise InputError(
            f"{url}: cannot be downloaded from; give an address like https://host/file.zip"
        )


@contextmanager
def _failures_told(url: str, may_be_unreachable: bool) -> Iterator[None]:
    """Tell failures that may pass (_PassingError) from those that stay (GeoAwareError).

    A server that cannot be reached at the first attempt is more likely misspelt than down.
    """
    try:
        yield
    except HTTPError as error:
        with error:
            told = f"the server says {error.code} {first_line(Exception(error.reason))}"
        raise _failure(url, told, error.code in _PASSING) from None
    except URLError as error:
        told = f"cannot be reached: {first_line(Exception(error.reason))}"
        raise _failure(url, told, may_be_unreachable) from None
    except (InvalidURL, UnicodeError) as error:
        raise InputError(f"{url}: {first_line(error)}") from None
    except (HTTPException, OSError) as error:
        raise _PassingError(f"the connection broke: {first_line(error)}") from None


def _failure(url: str, told: str, may_pass: bool) -> Exception:
    return _PassingError(told) if may_pass else GeoAwareError(f"{url}: {told}")


def _attempt(url: str, file: Path, advance: Advance) -> None:
    kept = _kept(url, file)
    have = file.stat().st_size if kept else 0
    if kept and kept.size == have:
        advance(have, have)
        return
    try:
        response = _opener().open(_request(url, kept, have), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != _NOT_SATISFIABLE or not have:
            raise
        with error:
            discard(file)
        raise _PassingError("the server has no rest of what there is") from None
    with response:
        if response.status == 206:
            have, size = have, _continued(response, file, kept, have)
        else:
            have, size = 0, _started(response, url, file)
        have = _receive(response, file, have, size, advance)
    if size is not None and have != size:
        raise _PassingError(f"the server sent {have:,} bytes of {size:,}")


def _kept(url: str, file: Path) -> _Kept | None:
    """What is known of a partial download of this address; None where there is none."""
    try:
        known = TypeAdapter(_Kept).validate_json(_notes(file).read_bytes())
        there = file.stat().st_size
    except (OSError, ValueError):
        return None
    if known.url != url or not there or (known.size is not None and there > known.size):
        return None
    return known


def _request(url: str, kept: _Kept | None, have: int) -> Request:
    headers = {"User-Agent": "geoaware", "Accept-Encoding": "identity"}
    if kept:
        headers["Range"] = f"bytes={have}-"
        if kept.validator:
            headers["If-Range"] = kept.validator
    return Request(url, headers=headers)


def _started(response: HTTPResponse, url: str, file: Path) -> int | None:
    """Begin a download at its first byte; the size of the whole, where it is known."""
    length = response.headers.get("Content-Length", "")
    size = int(length) if re.fullmatch("[0-9]{1,15}", length) else None
    etag = response.headers.get("ETag", "")
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
    discard(file)  # before the notes: they must never speak of another file's part
    with replacing(_notes(file)) as notes:
        notes.write(json.dumps(asdict(_Kept(url, validator, size))).encode())
    return size


def _continued(response: HTTPResponse, file: Path, kept: _Kept | None, have: int) -> int | None:
    """The size of the whole whose rest this is. Raises _PassingError where it is not the rest."""
    found = re.fullmatch(
        r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)", response.headers.get("Content-Range", "")
    )
    size = int(found[2]) if found and found[2] != "*" else None
    if not kept or not found or int(found[1]) != have or kept.size not in (None, size):
        discard(file)
        raise _PassingError("the server sent another part than was asked for")
    return kept.size or size


def _receive(
    response: HTTPResponse, file: Path, have: int, size: int | None, advance: Advance
) -> int:
    """Write what comes to the end of the file; how many bytes it has then."""
    try:
        out = file.open("ab")
    except OSError as error:
        raise GeoAwareError(f"{file}: cannot be written: {error.strerror}") from None
    with out:
        advance(have, size)
        while chunk := response.read(CHUNK):
            _append(out, file, chunk)
            have += len(chunk)
            advance(have, size)
    return have


def _append(out: IO[bytes], file: Path, chunk: bytes) -> None:
    try:
        out.write(chunk)
        out.flush()
    except OSError as error:  # a full disk is no broken connection
        raise GeoAwareError(f"{file}: cannot be written: {error.strerror}") from None


def _notes(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _opener() -> Any:
    """What opens http and https and nothing else, wherever a redirection leads."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(), HTTPHandler(), HTTPSHandler(), HTTPRedirectHandler(), HTTPErrorProcessor(),
        HTTPDefaultErrorHandler(), UnknownHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener
