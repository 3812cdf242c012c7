"""The GPU and the software around it; and the bench that measures on it."""

from __future__ import annotations

import shutil
import subprocess

from geoaware.kernels.cuda import libcuda
from geoaware.kernels.cuda.compilers import compiler
from geoaware.kernels.cuda.graph import CudaGraph
from geoaware.kernels.cuda.open import LAUNCHERS, ORDINAL, chosen_launcher, open_device

from .outcomes import Case, Figures
from .timing import Bench

_L2_BYTES = 38  # of CUdevice_attribute


def cases() -> list[Case]:
    """What this machine is."""
    return [("GPU", gpu), ("driver", driver), ("kernels", kernels)]


def gpu() -> Figures:
    """The GPU that everything runs on."""
    device = open_device()
    return {
        "name": device.name,
        "compute_capability": "{}.{}".format(*device.compute_capability),
        "multiprocessors": device.multiprocessors,
        "shared_bytes": device.shared_bytes,
        "l2_bytes": l2_bytes(),
    }


def driver() -> Figures:
    """The driver, and the memory that it reports."""
    version = libcuda.integer("cuDriverGetVersion")
    figures = {"cuda": f"{version // 1000}.{version % 1000 // 10}"}
    program = shutil.which("nvidia-smi")
    if program:
        fields = "driver_version,memory.total"
        query = [program, f"--query-gpu={fields}", "--format=csv,noheader", f"--id={ORDINAL}"]
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
        figures |= dict(zip(("driver", "memory"), done.stdout.strip().split(", "), strict=False))
    return figures


def kernels() -> Figures:
    """What launches and compiles them."""
    return {"launcher": chosen_launcher(), "known": list(LAUNCHERS), "compiler": compiler().title}


def l2_bytes() -> int:
    """The size of the GPU's L2 cache."""
    open_device()
    return libcuda.integer("cuDeviceGetAttribute", _L2_BYTES, ORDINAL)


def gpu_bench() -> Bench:
    """The GPU, with the graphs, copies and the cache that the times are taken by."""
    device = open_device()
    return Bench(device, lambda function: CudaGraph(device, function).replay, l2_bytes())
