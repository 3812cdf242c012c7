"""Programs run as a user runs them: process start, wall time, peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geoaware.runtime.errors import GeoAwareError

GEORUN = str(Path(sys.executable).with_name("georun"))
GEOEXPORT = str(Path(sys.executable).with_name("geoexport"))

_RUNNER = """
import json, resource, subprocess, sys, time
seconds = []
for _ in range(int(sys.argv[1])):
    started = time.perf_counter()
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run(sys.argv[2:], check=True, **quiet)
    seconds.append(time.perf_counter() - started)
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""


@dataclass(frozen=True)
class Measured:
    """Runs of one program: of each its wall time in seconds and its peak memory in MB."""

    seconds: list[float]
    peaks_mb: list[float]


def measured(command: list[str], runs: int) -> tuple[list[float], int]:
    """Wall seconds of each run of a command, and the largest peak memory of all in MB.

    A small process starts them: the peak that Linux reports for a child is never below the
    memory of the process that started it. Raises CalledProcessError where the command fails.
    """
    runner = [sys.executable, "-S", "-c", _RUNNER, str(runs), *command]
    done = subprocess.run(runner, check=True, capture_output=True, text=True, env=_environment())
    seconds, peak_kb = json.loads(done.stdout)
    return seconds, round(peak_kb / 1024)


def in_turns(commands: Mapping[str, list[str]], runs: int) -> dict[str, Measured]:
    """Each command run so many times, in turns (A B A B …).

    Raises GeoAwareError where one fails.
    """
    taken = {name: Measured([], []) for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            try:
                [seconds], peak_mb = measured(command, 1)
            except subprocess.CalledProcessError:
                raise GeoAwareError(f"{_shown(command)}: failed while it was timed") from None
            taken[name].seconds.append(seconds)
            taken[name].peaks_mb.append(peak_mb)
    return taken


def answer(command: list[str]) -> str:
    """What a command prints. Raises GeoAwareError with its last line where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=_environment())
    except OSError as error:
        raise GeoAwareError(f"{command[0]}: cannot be started: {error.strerror}") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise GeoAwareError(f"{_shown(command)}: {lines[-1]}")
    return done.stdout


def _shown(command: list[str]) -> str:
    return f"{' '.join(command[:3])} …"


def _environment() -> dict[str, str]:
    """This process's, without numbers of threads: every program takes all cores, as it comes."""
    return {name: value for name, value in os.environ.items() if "_NUM_THREADS" not in name}
