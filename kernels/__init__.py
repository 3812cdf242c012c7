"""Matching kernels: cosine similarity and windowed soft-argmax over grids of descriptors.

`match` is the whole operation; `window_softargmax` takes descriptors of any norm. These, `sample`,
`nearest` and `neighbours` run where their arrays are: numpy's on the host, a GPU's there
(`kernels/cuda`). The others run on the host. `geoaware.kernels.reference` says in float64 what they
must compute.
"""

from .ensemble import bilinear, ensemble_blocks, resized
from .matching import Found, locate, match
from .neighbours import Neighbours, neighbours
from .products import one_thread
from .similarity import nearest, sample, similarity_blocks, unit
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
    "nearest",
    "neighbours",
    "one_thread",
    "resized",
    "sample",
    "similarity_blocks",
    "unit",
    "window_softargmax",
]
