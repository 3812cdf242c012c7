"""TensorRT and TensorRT-RTX as Python modules: where they come from, and what they complain of.

Both have the same interface, and so have versions 10 and 11 of TensorRT in all that is used here.
What differs: TensorRT-RTX builds ahead of time for an architecture named to it, compiles the rest
when it first runs, gains nothing from a timing cache, and reads engines of its own version only.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from ..errors import GeoAwareError, first_line
from ..manifest import EngineKind
from .out_of_memory import is_out_of_memory

MODULES: dict[EngineKind, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}


def load(kind: EngineKind) -> Any:
    """The module of a kind of engine. Raises GeoAwareError where it cannot be imported."""
    try:
        return import_module(MODULES[kind])
    except ModuleNotFoundError as error:
        if error.name != MODULES[kind]:
            raise GeoAwareError(f"{kind} cannot be imported: {first_line(error)}") from None
        raise GeoAwareError(f"{kind} is not installed: pip install {kind}") from None
    except Exception as error:  # a library of it that is missing, or does not fit the driver
        raise GeoAwareError(f"{kind} cannot be imported: {first_line(error)}") from None


def version_numbers(version: str) -> tuple[int, ...]:
    """A version to compare: (10, 16, 1) for 10.16.1.11; the build number does not matter.

    Nor does what is no number: (11, 0, 0) for 11.0.0rc1.
    """
    release = re.match(r"\d+(\.\d+){0,2}", version)
    return tuple(int(number) for number in release[0].split(".")) if release else ()


@cache
def logger(module: Any) -> Any:
    """The logger of a module, the same for all that is made with it, as it wants to have it.

    What it complains of is in `errors`, the oldest first.
    """

    class Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=100)

        def log(self, severity: Any, message: str) -> None:
            if severity in (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR):
                self.errors.append(message)

    return Logger()


def started(module: Any, what: Callable[[Any], Any]) -> Any:
    """A Builder or Runtime of the module. Forgets what the module complained of before.

    Raises GeoAwareError where it cannot be made.
    """
    forget(module)
    try:
        return what(logger(module))
    except TypeError:  # what the bindings make of a null pointer
        raise GeoAwareError(
            f"{module.__name__} {module.__version__} does not start: {complaint(module)}"
        ) from None


def complaint(module: Any) -> str:
    """The last complaint since `forget`, which says what failed, after the first, which says why.

    In one line. What is between them was survived, or follows from the first.
    """
    told = [first_line(ValueError(each)) for each in logger(module).errors] or ["no reason given"]
    return told[-1] if told[-1] == told[0] else f"{told[-1]} (after: {told[0]})"


def forget(module: Any) -> None:
    """Start anew with what the module complains of."""
    logger(module).errors.clear()


def ran_out_of_memory(module: Any) -> bool:
    """Whether the module complained since `forget` that memory does not suffice."""
    return any(is_out_of_memory(each) for each in logger(module).errors)
