"""The engine and the kernels' source, built by g++ into libraries that run them on the host."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels"

Checks = Literal["race", "undefined"] | None

ENTRY = re.compile(
    r'extern "C" __global__ void\s+(?:__launch_bounds__\(([^)]*)\)\s*)?(\w+)\s*\(', re.DOTALL
)
# Half precision is read from memory as integers and as vectors, which strict aliasing forbids.
# DWARF 4, because addr2line gets the names of files wrong from 5.
COMPILER = ["g++", "-std=c++17", "-march=native", "-fno-strict-aliasing", "-fPIC"]
COMPILER += ["-g1", "-gdwarf-4"]
# Two libraries with one kernel, as it is and changed, may be loaded at the same time.
KERNELS_OWN = [*COMPILER, "-fvisibility=hidden", "-fno-gnu-unique", "-w"]
UNDEFINED = ["-fsanitize=undefined,bounds-strict", "-fno-sanitize=vptr"]
SANITIZER = {
    None: ["-O2"],
    "race": ["-O1", "-fsanitize=thread"],
    "undefined": ["-O1", *UNDEFINED, "-fno-sanitize-recover=all"],
}
FENCES = [HERE / "engine" / f"static_shared_{side}.cpp" for side in ("begin", "end")]


class BuildError(RuntimeError):
    """What g++ said."""


def missing() -> str | None:
    """What this machine lacks to run kernels on the host."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "kernels run on the host on x86-64 Linux only"
    return None if shutil.which("g++") else "no g++ here: apt install g++"


@cache
def engine() -> Path:
    """The library that all kernels' libraries call."""
    sources = [each for each in _files(HERE / "engine") if each.suffix == ".cpp"]
    sources = [each for each in sources if each not in FENCES]
    command = [*COMPILER, "-Wall", "-Wextra", "-O2", "-shared", "-pthread", *sources]
    return _built("engine", [[*command, "-o", "{folder}/result"]])


@cache
def library(source: Path, checks: Checks = None) -> Path:
    """The library of one `.cu`, whose headers lie in `../include` or among the kernels' own."""
    folders = [source.parents[1] / "include", KERNELS / "include"]
    include = [f"-I{each}" for each in (HERE / "include", *folders)]
    compiled = [*KERNELS_OWN, *SANITIZER[checks], *include, "-c", "{folder}/kernels.cpp"]
    parts = [FENCES[0], "{folder}/kernels.o", FENCES[1], engine()]
    linked = [*KERNELS_OWN, "-shared", "-Wl,-z,defs", *parts, "-o", "{folder}/result"]
    inputs = [source, *(each for folder in folders for each in _files(folder))]
    commands = [[*compiled, "-o", "{folder}/kernels.o"], linked]
    return _built(source.stem, commands, inputs, _with_entries(source))


def _with_entries(source: Path) -> str:
    entries = [
        f"CUDA_ON_HOST_ENTRY({name}{', ' if bounds else ''}{bounds})\n"
        for bounds, name in ENTRY.findall(source.read_text("utf-8"))
    ]
    return f'#include "cuda_on_host.hpp"\n#include "{source}"\n' + "".join(entries)


def _files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.glob("*") if each.is_file())


def _built(name: str, commands: list[list], inputs: Sequence[Path] = (), text: str = "") -> Path:
    """What the commands make of the text, kept under a name that all they read gives."""
    inputs = [*inputs, *_files(HERE / "include"), *_files(HERE / "engine")]
    content = repr(commands) + text + "".join(each.read_text("utf-8") for each in inputs)
    kept = cache_folder() / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}.so"
    if not kept.is_file():
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            (Path(folder) / "kernels.cpp").write_text(text, "utf-8")
            for command in commands:
                _run([str(word).replace("{folder}", folder) for word in command])
            # At once, so that others who build it too find all of it or nothing.
            (Path(folder) / "result").rename(kept)
    return kept


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{done.stderr[:4000]}")


@cache
def cache_folder() -> Path:
    """Where what was built is kept: a folder of this user alone."""
    folder = Path(tempfile.gettempdir()) / f"geoaware-cuda-on-host-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise BuildError(f"{folder} belongs to someone else; remove it")
    return folder
