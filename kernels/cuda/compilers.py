"""The compilers that make cubins of the kernels: NVRTC, or nvcc."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from .errors import CudaError

INCLUDE = Path(__file__).parents[1] / "include"
OPTIONS = ("-std=c++17",)


class Compiler(Protocol):
    """What makes a cubin of a source."""

    @property
    def title(self) -> str:
        """Its name and version."""

    def cubin(self, source: Path, architecture: str) -> bytes:
        """Compile a .cu file for an architecture such as sm_90.

        Raises CudaError with what the compiler says.
        """


def compiler() -> Compiler:
    """NVRTC where cuda-bindings and its library are installed, else nvcc.

    Raises CudaError where there is neither.
    """
    nvrtc = _nvrtc()
    if nvrtc:
        return nvrtc
    nvcc = _nvcc()
    if nvcc:
        return Nvcc(nvcc)
    raise CudaError(
        "no compiler for the kernels: pip install 'geoaware[cuda]' brings NVRTC; or install the "
        "CUDA toolkit, with nvcc on PATH or CUDA_HOME set"
    )


class Nvrtc:
    """NVRTC through cuda-bindings."""

    def __init__(self) -> None:
        from cuda.bindings import nvrtc

        self._nvrtc = nvrtc
        _, major, minor = nvrtc.nvrtcVersion()
        self.title = f"NVRTC {_with_patch(f'{major}.{minor}')}"

    def cubin(self, source: Path, architecture: str) -> bytes:
        """Compile a .cu file."""
        nvrtc = self._nvrtc
        code, program = nvrtc.nvrtcCreateProgram(
            source.read_bytes(), source.name.encode(), 0, [], []
        )
        options = [each.encode() for each in (f"-arch={architecture}", f"-I{INCLUDE}", *OPTIONS)]
        [code] = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if code:
            log = bytes(nvrtc.nvrtcGetProgramLogSize(program)[1])
            nvrtc.nvrtcGetProgramLog(program, log)
            nvrtc.nvrtcDestroyProgram(program)
            said = log.rstrip(b"\0\n").decode() or code.name
            raise _refusal(self.title, source, architecture, said)
        cubin = bytes(nvrtc.nvrtcGetCUBINSize(program)[1])
        nvrtc.nvrtcGetCUBIN(program, cubin)
        nvrtc.nvrtcDestroyProgram(program)
        return cubin


class Nvcc:
    """The toolkit's compiler driver; it needs a C++ compiler beside it."""

    def __init__(self, program: str) -> None:
        self._program = program
        try:
            said = subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise CudaError(f"{program} does not run: {error}; install the CUDA toolkit") from None
        found = re.search(r"V(\d[\d.]*)", said.stdout)
        if not found:
            raise CudaError(f"{program} does not tell its version: install the CUDA toolkit")
        self.title = f"nvcc {found[1]}"

    def cubin(self, source: Path, architecture: str) -> bytes:
        """Compile a .cu file."""
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "kernels.cubin"
            command = [self._program, "-cubin", f"-arch={architecture}", f"-I{INCLUDE}"]
            done = subprocess.run(
                [*command, *OPTIONS, str(source), "-o", str(target)], capture_output=True, text=True
            )
            if done.returncode:
                raise _refusal(self.title, source, architecture, done.stderr.strip())
            return target.read_bytes()


def _nvrtc() -> Nvrtc | None:
    try:
        return Nvrtc()
    except (ImportError, RuntimeError):  # no cuda-bindings, or no library of NVRTC beside it
        return None


def _with_patch(release: str) -> str:
    """The version of NVRTC's wheel where that is what was loaded: NVRTC tells no patch itself."""
    major = release.partition(".")[0]
    for wheel in ("nvidia-cuda-nvrtc", f"nvidia-cuda-nvrtc-cu{major}"):
        with suppress(PackageNotFoundError):
            if (found := version(wheel)).startswith(f"{release}."):
                return found
    return release


def _nvcc() -> str | None:
    roots = (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda")
    folders = [Path(root) / "bin" for root in roots if root]
    places = [None, *map(str, folders)]
    return next(filter(None, (shutil.which("nvcc", path=place) for place in places)), None)


def _refusal(title: str, source: Path, architecture: str, said: str) -> CudaError:
    return CudaError(
        f"{title} does not compile {source.name} for {architecture}; another version may "
        f"(pip install -U 'geoaware[cuda]'):\n{said}"
    )
