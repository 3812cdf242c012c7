"""Matching kernels: cosine similarity and windowed soft-argmax over grids of descriptors.

`match` is the whole operation; `window_softargmax` is the estimator alone. Both run on the
host with numpy. `geoaware.kernels.reference` says in float64 what they must compute.
"""

from .matching import Found, match
from .similarity import unit
from .softargmax import SoftArgmax, Variant, window_softargmax

__all__ = ["Found", "SoftArgmax", "Variant", "match", "unit", "window_softargmax"]
