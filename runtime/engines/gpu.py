"""The GPU of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import GeoAwareError, first_line

if TYPE_CHECKING:
    from ...kernels.cuda.gpu import Gpu


class NoGpuError(GeoAwareError):
    """Nothing of this machine speaks of an NVIDIA GPU."""


def current() -> Gpu:
    """The GPU that the kernels run on.

    Raises NoGpuError where not even a driver is there, GeoAwareError where the driver, the GPU or
    its libraries do not work.
    """
    from ...kernels.cuda.errors import NoDriverError

    try:
        from ...kernels.cuda.open import open_device

        return open_device()
    except NoDriverError as error:
        raise NoGpuError(str(error)) from None
    except Exception as error:  # each launcher's libraries fail in their own way
        raise GeoAwareError(first_line(error)) from None


def ready() -> Gpu:
    """The GPU, once it was found to run kernels: one is compiled for it and loaded.

    Raises as `current`, and GeoAwareError where there is no compiler, or the driver refuses what
    the compiler makes.
    """
    gpu = current()
    try:
        gpu.kernel("similarity", "decode")
    except Exception as error:  # each compiler and launcher fails in its own way
        raise GeoAwareError(first_line(error)) from None
    return gpu


def architecture(gpu: Gpu) -> str:
    """The compute capability as records name it, such as "8.9"."""
    major, minor = gpu.compute_capability
    return f"{major}.{minor}"
