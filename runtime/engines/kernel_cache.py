"""Kernels that TensorRT-RTX compiles when it first runs an engine, kept between processes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import GeoAwareError
from ..files import replacing


class KernelCache:
    """What one engine compiled on one GPU, in a file.

    TensorRT-RTX itself refuses what another version, driver or GPU compiled; it then compiles
    anew, and so it does in every process where nothing can be written.
    """

    def __init__(self, path: Path, config: Any) -> None:
        """Give an engine's runtime configuration what the file holds."""
        self._path, self._cache = path, config.create_runtime_cache()
        self._kept = b""
        with suppress(OSError):
            self._kept = path.read_bytes()
        if self._kept and not self._cache.deserialize(self._kept):
            self._kept = b""
        config.set_runtime_cache(self._cache)

    def keep(self) -> None:
        """Write down what was compiled by now, where there is something new."""
        content = bytes(self._cache.serialize())
        if content != self._kept:
            with suppress(OSError, GeoAwareError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(self._path) as file:
                    file.write(content)
            self._kept = content
