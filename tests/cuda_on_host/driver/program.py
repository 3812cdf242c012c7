"""Python programs that find the driver on the host where others find a GPU's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.cuda_on_host.build import KERNELS, library

from .build import driver_folder

ROOT = Path(__file__).parents[3]
PROBES = Path(__file__).parent / "launching.cu"


def run_on_driver(
    *arguments: str, launcher: str, kernels: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python with the driver on the host.

    launcher: what GEOAWARE_CUDA says. kernels: which of `kernels/cuda/*.cu` it may launch, beside
    those of launching.cu.
    """
    sources = [PROBES, *(KERNELS / "cuda" / f"{name}.cu" for name in kernels)]
    settings = {
        "GEOAWARE_CUDA": launcher,
        "LD_LIBRARY_PATH": str(driver_folder()),
        "FAKE_CUDA_KERNELS": ":".join(str(library(source)) for source in sources),
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", *arguments],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=300,
    )
