"""The kernels as machine code: compiled once per GPU, then kept on disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from ..home import home
from .compilers import INCLUDE, OPTIONS, Compiler, compiler

SOURCES = Path(__file__).parent
_DIGEST_BYTES = 32


def cubin(file: str, architecture: str) -> bytes:
    """`kernels/cuda/<file>.cu` compiled for an architecture such as sm_90.

    Kept in `home()` under a hash of the sources, the architecture, the compiler with its version
    and its options. A damaged copy is compiled anew; where nothing can be written, every process
    compiles for itself.

    Raises CudaError where there is no compiler or it refuses.
    """
    chosen = _compiler()
    source = SOURCES / f"{file}.cu"
    path = home() / "kernels" / f"{file}-{architecture}-{_key(source, architecture, chosen)}.cubin"
    kept = _read(path)
    if kept is not None:
        return kept
    made = chosen.cubin(source, architecture)
    with suppress(OSError):
        _write(path, made)
    return made


@cache
def _compiler() -> Compiler:
    return compiler()


def _key(source: Path, architecture: str, chosen: Compiler) -> str:
    key = hashlib.sha256(repr((architecture, chosen.title, OPTIONS)).encode())
    for each in (source, *sorted(INCLUDE.glob("*.cuh"))):
        content = each.read_bytes()
        key.update(f"{each.name} {len(content)}\n".encode() + content)
    return key.hexdigest()[:24]


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == digest else None


def _write(path: Path, code: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(hashlib.sha256(code).digest() + code)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):  # what came first is told, were it an interrupt
            Path(name).unlink()
        raise
