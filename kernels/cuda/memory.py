"""Memory of the GPU from a pool, and page-locked memory of the host."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .context import Context
from .errors import CudaError, CudaMemoryError

_SMALLEST = 512


class Block:
    """Memory out of a pool, which goes back to it with the last reference."""

    def __init__(self, pool: Pool, pointer: int, size: int) -> None:
        self._pool, self.pointer, self.size = pool, pointer, size

    def __del__(self) -> None:
        self._pool.give_back(self.pointer, self.size)


class Pool:
    """Blocks that were freed, kept for the next that ask for as much.

    Work of one stream may use a block as soon as it was given back: whatever used it before is
    earlier in the stream. Lists give and take whole elements, so threads need no lock.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._free: defaultdict[int, list[int]] = defaultdict(list)

    def take(self, nbytes: int) -> Block:
        """A block of at least nbytes. Raises CudaMemoryError where there is no room."""
        size = rounded(nbytes)
        with suppress(IndexError):
            return Block(self, self._free[size].pop(), size)
        try:
            pointer = self._context.handle("cuMemAlloc_v2", size)
        except CudaMemoryError:
            self.trim()
            pointer = self._allocate_at_last(size)
        return Block(self, pointer, size)

    def give_back(self, pointer: int, size: int) -> None:
        """Keep a block for others."""
        self._free[size].append(pointer)

    def trim(self) -> None:
        """Free what nobody uses; the driver waits for work that is still on its way."""
        for kept in list(self._free.values()):
            with suppress(IndexError):  # another thread may take the last
                while True:
                    self._context.call("cuMemFree_v2", kept.pop())

    def _allocate_at_last(self, size: int) -> int:
        try:
            return self._context.handle("cuMemAlloc_v2", size)
        except CudaMemoryError as error:
            raise CudaMemoryError(
                f"{self._context.name} has no {size / 2**20:.1f} MiB of memory left: {error}; "
                "use a smaller frame or batch, or end other programs on this GPU"
            ) from None


def rounded(nbytes: int) -> int:
    """The size of the block for so many bytes: one of eight steps between powers of two."""
    step = max(_SMALLEST, 1 << max(0, (nbytes - 1).bit_length() - 4))
    return -(-nbytes // step) * step


class _Pinned:
    """Page-locked memory as numpy sees it."""

    def __init__(self, context: Context, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        nbytes = max(1, int(np.prod(shape)) * dtype.itemsize)
        self._context = context
        try:
            self._pointer = context.handle("cuMemHostAlloc", nbytes, 0)
        except CudaMemoryError as error:
            raise CudaMemoryError(
                f"the host has no {nbytes / 2**20:.1f} MiB of page-locked memory left: {error}; "
                "use a smaller frame or batch, or give the container or virtual machine more memory"
            ) from None
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (self._pointer, False),
        }

    def __del__(self) -> None:
        with suppress(CudaError):  # the process may be ending, and the driver with it
            if hasattr(self, "_pointer"):
                self._context.destroy("cuMemFreeHost", self._pointer)


def pinned(context: Context, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """A page-locked array; it is freed with the last array that views it.

    Raises CudaMemoryError where the host has no room.
    """
    return np.asarray(_Pinned(context, shape, np.dtype(dtype)))
