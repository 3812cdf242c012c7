"""Matching kernels: cosine similarity and windowed soft-argmax over grids of descriptors.

`match` is the whole operation; `window_softargmax` is the estimator alone. All run on the
host with numpy. `geoaware.kernels.reference` says in float64 what they must compute.
"""

from .ensemble import bilinear, ensemble_blocks, resized
from .matching import Found, locate, match
from .neighbours import Neighbours, neighbours
from .similarity import one_thread, similarity_blocks, unit
from .softargmax import SoftArgmax, Variant, window_softargmax

__all__ = [
    "Found",
    "Neighbours",
    "SoftArgmax",
    "Variant",
    "bilinear",
    "ensemble_blocks",
    "locate",
    "match",
    "neighbours",
    "one_thread",
    "resized",
    "similarity_blocks",
    "unit",
    "window_softargmax",
]
