"""What there is of what the kernels need on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from . import libcuda
from .compilers import compiler
from .context import Context
from .errors import CudaError
from .open import ORDINAL, chosen_launcher

_DISTRIBUTIONS = {"pycuda": "pycuda", "cuda-core": "cuda-bindings"}


@dataclass(frozen=True)
class Part:
    """One thing that the kernels need.

    found: what was found; None where it is missing, and then `missing` says so and how to mend it.
    """

    name: str
    found: str | None
    missing: str = ""


def describe() -> tuple[Part, ...]:
    """The driver, the GPU, the launcher and the compiler. Never raises; makes no context."""
    return (
        _part("driver", _driver),
        _part("GPU", _gpu),
        _part("launcher", _launcher),
        _part("compiler", lambda: compiler().title),
    )


def _part(name: str, find: Callable[[], str]) -> Part:
    try:
        return Part(name, find())
    except CudaError as error:
        return Part(name, None, str(error))
    except Exception as error:  # a part that is broken, which others may do without
        return Part(name, None, repr(error))


def _driver() -> str:
    number = libcuda.integer("cuDriverGetVersion")
    return f"CUDA {number // 1000}.{number % 1000 // 10}"


def _gpu() -> str:
    libcuda.initialise()
    context = Context(ORDINAL)
    return "{} (sm_{}{})".format(context.name, *context.compute_capability)


def _launcher() -> str:
    name = chosen_launcher()
    return f"{name} ({_DISTRIBUTIONS[name]} {version(_DISTRIBUTIONS[name])})"
