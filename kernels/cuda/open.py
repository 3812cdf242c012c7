"""The way to the GPU of this machine."""

from __future__ import annotations

import os
from importlib.util import find_spec
from threading import Lock

from . import libcuda
from .context import Context
from .errors import CudaError
from .gpu import Gpu
from .launcher import Launcher

VARIABLE = "GEOAWARE_CUDA"
ORDINAL = 0  # the first that CUDA_VISIBLE_DEVICES leaves visible

# name: the package it needs, and how to install that
LAUNCHERS = {
    "pycuda": ("pycuda", "pip install 'geoaware[pycuda]'"),
    "cuda-core": ("cuda.bindings", "pip install 'geoaware[cuda]'"),
}

_lock = Lock()
_opened: dict[int, Gpu] = {}  # by process


def open_device() -> Gpu:
    """The first GPU that CUDA shows (CUDA_VISIBLE_DEVICES), in its primary context.

    All callers in a process share it. Kernels are launched by PyCUDA where it is installed, else by
    NVIDIA's cuda-bindings; `GEOAWARE_CUDA=pycuda|cuda-core` chooses. A thread that used it has the
    primary context of this GPU current afterwards: who works with others sets theirs again.

    Raises NoDriverError without a driver, and CudaError where a GPU or a launcher is missing, with
    how to mend it.
    """
    with _lock:
        process = os.getpid()
        if process not in _opened:
            if _opened:
                raise CudaError(
                    "CUDA does not survive a fork: start processes that use the GPU with "
                    "multiprocessing's spawn"
                )
            libcuda.initialise()
            name, context = chosen_launcher(), Context(ORDINAL)
            _opened[process] = Gpu(context, _launcher(name, context))
        return _opened[process]


def chosen_launcher() -> str:
    """The launcher to use: a name of LAUNCHERS.

    Raises CudaError where it is unknown or not installed.
    """
    asked = os.environ.get(VARIABLE) or None
    if asked is not None and asked not in LAUNCHERS:
        raise CudaError(f"{VARIABLE} is {asked!r}; it may be {' or '.join(LAUNCHERS)}")
    for name in [asked] if asked else LAUNCHERS:
        if _installed(LAUNCHERS[name][0]):
            return name
    _, remedy = LAUNCHERS[asked or "cuda-core"]
    what = f"{VARIABLE} is {asked!r}, which is" if asked else "PyCUDA and cuda-bindings are"
    raise CudaError(f"{what} not installed: {remedy}")


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even the namespace it belongs to
        return False


def _launcher(name: str, context: Context) -> Launcher:
    try:
        if name == "pycuda":
            from .pycuda_launcher import PyCudaLauncher

            return PyCudaLauncher(context)
        from .bindings_launcher import BindingsLauncher

        return BindingsLauncher(context)
    except ImportError as error:
        package, remedy = LAUNCHERS[name]
        others = " or ".join(other for other in LAUNCHERS if other != name)
        raise CudaError(
            f"{package} is installed but does not import: {error}; install it again ({remedy}), "
            f"or set {VARIABLE}={others}"
        ) from None
