"""The devices that the kernels' tests run on."""

from __future__ import annotations

import pytest

from geoaware.kernels.cuda.device import Device
from geoaware.kernels.cuda.errors import CudaError
from tests.cuda_on_host.build import missing
from tests.cuda_on_host.host_device import HostDevice


def host(**how: object) -> HostDevice:
    if reason := missing():
        pytest.skip(reason)
    return HostDevice(**how)


@pytest.fixture(scope="session", params=["host", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Device:
    """The host, and the GPU where there is one."""
    if request.param == "host":
        return host()
    from geoaware.kernels.cuda.open import open_device

    try:
        return open_device()
    except CudaError as problem:
        pytest.skip(str(problem))


@pytest.fixture(scope="session")
def schedules() -> list[HostDevice]:
    """Every order of threads with either moment of asynchronous copies, for small shapes.

    Where copies are eager, buffers begin at an inaccessible page instead of ending at one.
    """
    return [
        host(order=order, eager_copies=eager, guard_before=eager)
        for order in range(3)
        for eager in (False, True)
    ]


@pytest.fixture(scope="session", params=["race", "undefined"])
def checked(request: pytest.FixtureRequest) -> HostDevice:
    """Builds that find races and undefined behaviour; slow, so for small shapes."""
    return host(checks=request.param)
