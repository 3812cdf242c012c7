"""How many threads everything has that runs beside each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy  # noqa: F401  (its BLAS must be loaded to be limited)
from threadpoolctl import threadpool_limits

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Give so many threads to BLAS, and to libraries and processes that are started in here.

    Libraries read the variables when they are loaded; numpy's BLAS, which is loaded, is told.
    Engines and PyTorch are told by those who run them.
    """
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(dict.fromkeys(_VARIABLES, str(threads)))
    try:
        with threadpool_limits(limits=threads, user_api="blas"):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
