"""Programs run as a user runs them: process start, wall time, peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


def measured(command: list[str], runs: int) -> tuple[list[float], int]:
    """Wall seconds of each run of a command, and the largest peak memory of all in MB.

    A small process starts them: the peak that Linux reports for a child is never below the
    memory of the process that started it.
    """
    runner = [sys.executable, "-S", "-c", _RUNNER, str(runs), *command]
    done = subprocess.run(runner, check=True, capture_output=True, text=True)
    seconds, peak_kb = json.loads(done.stdout)
    return seconds, round(peak_kb / 1024)
