"""Where a run comes from: the code, the machine and the software."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from geoaware.runtime import machine
from geoaware.runtime.machine import version_of

Fact = str | int | None

PACKAGES = (
    "geoaware",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "torch",
    "tensorrt",
    "tensorrt-rtx",
)
INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx_vnni": "AVX-VNNI",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 bf16",
    "amx_tile": "AMX",
    "amx_int8": "AMX int8",
    "amx_bf16": "AMX bf16",
    "sve": "SVE",
    "i8mm": "I8MM",
    "bf16": "bf16",
}


def versions() -> dict[str, str]:
    """The versions of what computes, "missing" where it is not installed."""
    return machine.versions(PACKAGES)


def commit() -> str:
    """The state of the checkout that this code lies in, or was installed from, or else the version.

    An installed copy is as old as its installation; what it was installed from may have gone on.
    """
    here = Path(__file__)
    if state := _state(here):
        return state
    source = _source()
    state = _state(source / "benchmarks" / "bench" / here.name) if source else ""
    return state or f"geoaware {version_of('geoaware') or 'unknown'}"


def _state(file: Path) -> str:
    """The state of the checkout that has this file; nothing where git does not know it."""
    if not (file.is_file() and _git(file.parent, "ls-files", file.name)):
        return ""
    return _git(file.parent, "describe", "--always", "--dirty")


def _source() -> Path | None:
    """The folder that pip installed geoaware from, as PEP 610 keeps it."""
    try:
        origin = distribution("geoaware").read_text("direct_url.json")
    except PackageNotFoundError:  # on the path, but not installed
        return None
    return Path(url2pathname(urlsplit(json.loads(origin)["url"]).path)) if origin else None


def hardware() -> dict[str, Fact]:
    """Processor, cores, memory and instructions that matter; the GPU and its driver, or None."""
    return {
        **machine.hardware(),
        "memory_gb": _memory_gb(),
        "instructions": _instructions(),
        **_gpu(),
    }


def _git(folder: Path, *words: str) -> str:
    """What git says about a folder; nothing where there is no git or no repository."""
    command = ["git", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    except OSError:
        return ""
    return done.stdout.strip()


def _memory_gb() -> int | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None


def _instructions() -> str | None:
    """Of the instructions that decide how fast networks run, those that this processor has."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return None
    flags: set[str] = set()
    for line in lines:
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):
            flags.update(words.split())
    return ", ".join(title for flag, title in INSTRUCTIONS.items() if flag in flags) or "none"


def _gpu() -> dict[str, Fact]:
    """Asked of the driver, which makes no context on the GPU for it."""
    from geoaware.kernels.cuda import libcuda
    from geoaware.kernels.cuda.context import Context
    from geoaware.kernels.cuda.errors import CudaError
    from geoaware.kernels.cuda.open import ORDINAL

    try:
        libcuda.initialise()
        return {"gpu": Context(ORDINAL).name, "driver": _driver()}
    except CudaError:
        return {"gpu": None, "driver": None}


def _driver() -> str:
    from geoaware.kernels.cuda import libcuda

    number = libcuda.integer("cuDriverGetVersion")
    cuda = f"CUDA {number // 1000}.{number % 1000 // 10}"
    try:
        return f"{Path('/sys/module/nvidia/version').read_text('utf-8').strip()}, {cuda}"
    except OSError:
        return cuda
