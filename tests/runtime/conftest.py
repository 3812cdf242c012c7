from __future__ import annotations

from collections.abc import Iterator

import pytest

from .datasets.http_server import Server, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A local server that answers as the test says."""
    monkeypatch.setenv("no_proxy", "*")
    with serving() as running:
        yield running
