from __future__ import annotations

from collections.abc import Iterator

import pytest

from geoaware.kernels.cuda.errors import CudaError

from .datasets.http_server import Server, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A local server that answers as the test says."""
    monkeypatch.setenv("no_proxy", "*")
    with serving() as running:
        yield running


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has no NVIDIA driver, whatever it has."""

    def missing() -> None:
        raise CudaError("no NVIDIA driver")

    monkeypatch.setattr("geoaware.kernels.cuda.open.open_device", missing)
