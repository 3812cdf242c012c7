"""The runtime: loads a bundle and finds matching points. Needs no torch.

Names are imported on first use, so that programs which only print their help start at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bundle import Bundle
    from .errors import GeoAwareError
    from .features import FeatureMap
    from .geometry import Frame
    from .matches import Matches
    from .pipeline import Pipeline
    from .segmenter import InstanceMask, Segmenter

_HOME = {
    "Bundle": "bundle",
    "FeatureMap": "features",
    "Frame": "geometry",
    "GeoAwareError": "errors",
    "InstanceMask": "segmenter",
    "Matches": "matches",
    "Pipeline": "pipeline",
    "Segmenter": "segmenter",
}

__all__ = [
    "Bundle",
    "FeatureMap",
    "Frame",
    "GeoAwareError",
    "InstanceMask",
    "Matches",
    "Pipeline",
    "Segmenter",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
