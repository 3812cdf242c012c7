"""Keys of candidates, as the kernels leave them, on the host: see `kernels/include/warp.cuh`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SIGN, _LOW = np.uint32(0x80000000), np.uint32(0xFFFFFFFF)


def indices(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The candidates' indices."""
    return (_LOW - keys.astype(np.uint32)).astype(np.int64)


def scores(keys: NDArray[np.uint64]) -> NDArray[np.float32]:
    """The candidates' scores."""
    bits = (keys >> np.uint64(32)).astype(np.uint32)
    return np.where(bits & _SIGN, bits ^ _SIGN, ~bits).astype(np.uint32).view(np.float32)
