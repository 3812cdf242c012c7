"""The published segment_anything package, without the part of it that needs torchvision."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest


def modules(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Its modules `image_encoder`, `prompt_encoder`, `mask_decoder` and `transformer`."""
    found = importlib.util.find_spec("segment_anything")
    if found is None:
        pytest.skip("the published package is not installed: pip install segment-anything")
    # Its __init__ imports torchvision; its networks need torch alone.
    for name in ("segment_anything", "segment_anything.modeling"):
        bare = ModuleType(name)
        below = name.split(".")[1:]
        bare.__path__ = ["/".join([path, *below]) for path in found.submodule_search_locations]
        monkeypatch.setitem(sys.modules, name, bare)
    names = ("common", "image_encoder", "prompt_encoder", "mask_decoder", "transformer")
    for name in names:
        monkeypatch.delitem(sys.modules, f"segment_anything.modeling.{name}", raising=False)
    return SimpleNamespace(
        **{name: importlib.import_module(f"segment_anything.modeling.{name}") for name in names}
    )
