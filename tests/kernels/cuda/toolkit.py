"""The CUDA toolkit's programs, from an installed toolkit or from PyPI's wheels."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests.cuda_on_host.build import KERNELS, cache_folder

# program: the wheel that brings it
WHEELS = {
    "nvcc": "nvidia-cuda-nvcc",
    "nvdisasm": "nvidia-cuda-nvdisasm",
}
USAGE = re.compile(
    r"Compiling entry function '(?P<kernel>\w+)'.*?(?P<stack>\d+) bytes stack frame, "
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads",
    re.DOTALL,
)


@cache
def program(name: str) -> str | None:
    """Its path: from PATH, CUDA_HOME, /usr/local/cuda or site-packages."""
    roots = [Path(os.environ.get("CUDA_HOME") or "/usr/local/cuda")]
    wheels = find_spec("nvidia")
    for location in (wheels.submodule_search_locations or []) if wheels else []:
        roots += sorted(Path(location).glob("cu[0-9]*"), reverse=True)
    folders = [None, *(str(root / "bin") for root in roots)]
    return next(filter(None, (shutil.which(name, path=folder) for folder in folders)), None)


def missing(name: str) -> str:
    """Why a test without the program is skipped, and how to get it."""
    return f"no {name} here: pip install {WHEELS[name]}, or install the CUDA toolkit"


class Compiled(NamedTuple):
    """What nvcc made of a file, or said instead."""

    cubin: Path
    log: str

    @property
    def usage(self) -> dict[str, tuple[int, ...]]:
        """Bytes of stack, of spilled stores and of spilled loads of each kernel."""
        return {
            found["kernel"]: (int(found["stack"]), int(found["stores"]), int(found["loads"]))
            for found in USAGE.finditer(self.log)
        }


def compiled(file: str, architecture: str) -> Compiled:
    """`kernels/cuda/<file>.cu` by nvcc, warnings being errors; kept as long as nothing changes."""
    command = [program("nvcc"), f"-arch={architecture}", "-std=c++17", "-cubin", "-Xptxas", "-v"]
    command += ["-Werror", "all-warnings", f"-I{KERNELS / 'include'}"]
    sources = [KERNELS / "cuda" / f"{file}.cu", *sorted((KERNELS / "include").iterdir())]
    content = repr((command, _version())) + "".join(each.read_text("utf-8") for each in sources)
    name = f"{file}-{architecture}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    cubin, log = cache_folder() / f"{name}.cubin", cache_folder() / f"{name}.log"
    if not (cubin.is_file() and log.is_file()):
        made = cubin.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            [*command, str(sources[0]), "-o", str(made)], capture_output=True, text=True
        )
        if done.returncode:
            return Compiled(cubin, done.stdout + done.stderr)
        log.write_text(done.stdout + done.stderr, "utf-8")
        made.rename(cubin)
    return Compiled(cubin, log.read_text("utf-8"))


@cache
def _version() -> str:
    return subprocess.run([program("nvcc"), "--version"], capture_output=True, text=True).stdout


def instructions(cubin: Path) -> dict[str, str]:
    """The machine code of each kernel, as nvdisasm prints it."""
    command = [program("nvdisasm"), "-c", str(cubin)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    parts = re.split(r"^\.text\.(\w+):$", printed, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
