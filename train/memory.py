"""What to say where memory does not suffice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..runtime.errors import GeoAwareError


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise GeoAwareError where PyTorch finds no memory in here, on a GPU or without."""
    try:
        yield
    except torch.OutOfMemoryError:
        where = "on the GPU"
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # the CPU's allocator has no error of its own
            raise
        where = "for PyTorch"
    else:
        return
    raise GeoAwareError(
        f"no memory is left {where}: a step of fewer pairs (batch.pairs, batch.images) takes less, "
        "and so does a smaller frame or head"
    )
