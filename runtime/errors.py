"""The one exception family users meet: what is wrong, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class GeoAwareError(Exception):
    """A run or a check failed; programs print the message in one line and exit 1."""

    exit_code = 1


class InputError(GeoAwareError):
    """What the caller asked for cannot be: a missing file, a point outside the image. Exit 2."""

    exit_code = 2


@contextmanager
def gpu_errors() -> Iterator[None]:
    """Raise what fails on a GPU in here as GeoAwareError."""
    from ..kernels.cuda.errors import CudaError

    try:
        yield
    except CudaError as error:
        raise GeoAwareError(str(error)) from None


def first_line(error: BaseException) -> str:
    """The first line of another library's error message, or its type where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def first_problem(error: ValidationError) -> str:
    """The first thing a schema objects to, as `key: what is wrong`."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    message = first_line(ValueError(problem["msg"])).removeprefix("Value error, ")
    return f"{key}: {message}" if key else message
