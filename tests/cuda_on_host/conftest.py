"""Devices for the probes: kernels whose answers are known from CUDA's documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from .build import missing
from .host_device import HostDevice

PROBES = Path(__file__).parent / "probes"


@pytest.fixture(params=["ascending", "descending", "random"])
def probe(request: pytest.FixtureRequest, host: HostDevice) -> HostDevice:
    """A device with the probes, in each order of threads."""
    host.order = ("ascending", "descending", "random").index(request.param)
    return host


@pytest.fixture
def host() -> HostDevice:
    """A device with the probes."""
    if reason := missing():
        pytest.skip(reason)
    return HostDevice(kernels=PROBES)
