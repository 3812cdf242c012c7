"""compute-sanitizer over the kernels on small ragged shapes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from .outcomes import Case, Figures, MissingError

# Padding lies behind every allocation, so that what reads or writes there is found. The launchers
# look at every call's result themselves, and ask the driver for functions that it may not have.
TOOLS = {
    "memcheck": ["--padding", "512", "--report-api-errors", "no"],
    "racecheck": [],
    "initcheck": [],
    "synccheck": [],
}
FOUND = 86  # the exit code that says so
PLACES = os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"


def cases() -> list[Case]:
    """Each tool of it."""
    return [(tool, partial(sanitized, tool)) for tool in TOOLS]


def sanitized(tool: str) -> Figures:
    """Run every kernel under one tool.

    Raises MissingError where compute-sanitizer is not installed, RuntimeError for what it finds.
    """
    program = _program()
    command = [program, "--tool", tool, "--error-exitcode", str(FOUND), *TOOLS[tool]]
    command += [sys.executable, "-m", "benchmarks.gpu.ragged"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in done.stdout.splitlines() if line.startswith("=========")]
    if done.returncode:
        print(done.stdout[-5000:], done.stderr[-5000:], sep="\n")
        raise RuntimeError(f"code {done.returncode}: {' '.join(said[:4] + said[-1:])}")
    return {"summary": said[-1] if said else "", "program": program}


def _program() -> str:
    folders = [None, *(str(Path(place) / "bin") for place in PLACES if place)]
    found = (shutil.which("compute-sanitizer", path=folder) for folder in folders)
    program = next(filter(None, found), None)
    if program is None:
        raise MissingError("compute-sanitizer is not installed; it comes with the CUDA toolkit")
    return program
