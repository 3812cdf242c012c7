"""One part of the check, in this process: `python -m benchmarks.gpu.part MODULE FILE`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

from .outcomes import Case, lacking, write_outcomes


def main(module: str, path: str) -> None:
    """Write the outcomes of a module's cases to a file, one after the other."""
    write_outcomes(_cases(module), Path(path))


def _cases(module: str) -> Iterator[Case]:
    try:
        part = import_module(f"benchmarks.gpu.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("benchmarks", "geoaware"):
            raise
        yield module, partial(lacking, str(error))
    else:
        yield from part.cases()


if __name__ == "__main__":
    main(*sys.argv[1:])
