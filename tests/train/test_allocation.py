"""Memory of networks on a CPU: what is freed is used again, and not fetched anew."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from geoaware.train.allocation import keep_freed_memory
if "keep" in sys.argv:
    keep_freed_memory()
for _ in range(10):
    [b"x" * 20_000_000 for _ in range(3)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def page_faults(*words: str) -> int:
    command = [sys.executable, "-c", PROGRAM, *words]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_kept():
    assert page_faults("keep") < page_faults() / 3
