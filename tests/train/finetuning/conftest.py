from __future__ import annotations

import pytest

from .tiny_backbones import FAMILIES, TinyBackbone, shrink


@pytest.fixture(params=FAMILIES)
def tiny(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TinyBackbone:
    """Every family in turn."""
    shrink(monkeypatch)
    return FAMILIES[request.param]
