"""Check and measure the GPU path, each part in a process of its own, into one result file.

make gpu-check
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geoaware.kernels.cuda import libcuda
from geoaware.kernels.cuda.errors import CudaError
from geoaware.kernels.cuda.open import LAUNCHERS, VARIABLE

from ..record import save
from .outcomes import FAILED, Outcome, read_outcomes

ROOT = Path(__file__).parents[2]
COMMAND = "make gpu-check"
LIMIT_S = 470  # for everything
PACKAGES = (
    "cuda-bindings", "pycuda", "nvidia-cuda-nvrtc", "torch", "cupy-cuda13x", "numpy", "onnx",
    "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Cases of one module of this package, and the seconds they may take."""

    name: str
    module: str
    limit_s: int
    launcher: str | None = None


PARTS = (
    Part("machine", "machine", 60),
    *(Part(f"tests, {name}", "suites", 110, name) for name in LAUNCHERS),
    Part("compute-sanitizer", "sanitizer", 100),
    Part("kernels", "kernels", 90),
    Part("rivals", "rivals", 140),
    Part("engines", "engines", 140),
)


def main() -> int:
    """Run the parts that the time allows; 0 where nothing failed and no target was missed."""
    if reason := _no_gpu():
        print(f"gpu-check needs a GPU: {reason}", file=sys.stderr)
        return 1
    ends = time.monotonic() + LIMIT_S
    results: dict[str, Any] = {}
    good = True
    for part in PARTS:
        print(f"{part.name}:", flush=True)
        started = time.monotonic()
        outcomes = run(part, min(part.limit_s, ends - started))
        good = good and all(each.good for each in outcomes)
        results[part.name] = {
            "seconds": round(time.monotonic() - started, 1),
            "cases": [_said(each) for each in outcomes],
        }
        path = save(_file_name(results), COMMAND, PACKAGES, results)
    print(f"{path}: {'all good' if good else 'something failed or missed its target'}")
    return 0 if good else 1


def run(part: Part, limit_s: float) -> list[Outcome]:
    """The outcomes of a part, with one more where it crashed or took too long."""
    environment = dict(os.environ)
    if part.launcher:
        environment[VARIABLE] = part.launcher
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes"
        command = [sys.executable, "-m", "benchmarks.gpu.part", part.module, str(path)]
        problem = _problem(command, environment, limit_s)
        outcomes = read_outcomes(path)
    if problem:
        outcomes.append(Outcome("the rest of it", FAILED, problem))
        print(f"  {outcomes[-1]}", flush=True)
    return outcomes


def _problem(command: list[str], environment: dict[str, str], limit_s: float) -> str | None:
    """Run a command; what went wrong, in a line."""
    if limit_s < 1:
        return f"the {LIMIT_S} seconds for everything were used up"
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return f"took longer than {limit_s:.0f} seconds"
    finally:  # and whatever it started
        _end(process)
    return f"ended with code {code}" if code else None


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _no_gpu() -> str | None:
    """Why nothing can be run here; asked without making a context."""
    try:
        libcuda.initialise()
    except CudaError as error:
        return str(error).replace("\n", " ")
    return None


def _said(outcome: Outcome) -> dict[str, Any]:
    return {name: value for name, value in asdict(outcome).items() if value}


def _file_name(results: dict[str, Any]) -> str:
    cases = {each["case"]: each.get("figures", {}) for each in results["machine"]["cases"]}
    name = cases.get("GPU", {}).get("name", "unknown")
    return "gpu_" + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


if __name__ == "__main__":
    sys.exit(main())
