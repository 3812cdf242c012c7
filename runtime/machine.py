"""The machine and the software that a number was measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def hardware() -> dict[str, Any]:
    """Processor, cores, architecture."""
    return {"cpu": _cpu(), "cores": os.cpu_count(), "machine": platform.machine()}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of Python and of installed packages; "missing" where one is not."""
    found = {name: version_of(name) or "missing" for name in packages}
    return {"python": platform.python_version()} | found


def version_of(package: str) -> str | None:
    """The version of an installed package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
