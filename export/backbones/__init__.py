"""Backbones by name. To add one: write its module, give it a line here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol

from torch import Tensor

from ...runtime.errors import InputError
from ..weights import KnownWeights

MODULES = {"efficientnet-lite0": "efficientnet_lite"}


class Backbone(Protocol):
    """A torch module that turns normalised frames into taps."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Frames (batch, 3, side, side), normalised, to one (batch, c, h, w) per tap."""


class BackboneModule(Protocol):
    """What the module of a backbone offers."""

    WEIGHTS: KnownWeights

    def load(self, state: Mapping[str, Tensor], taps: Sequence[str], side: int) -> Backbone:
        """The backbone with these weights, computing these taps of frames of this side.

        Raises InputError for unknown taps or a side it cannot take, GeoAwareError for weights
        of another architecture.
        """


def module_of(name: str) -> BackboneModule:
    """The module of a backbone. Raises InputError for an unknown name."""
    if name not in MODULES:
        raise InputError(f"unknown backbone {name!r}; known: {', '.join(sorted(MODULES))}")
    module: BackboneModule = import_module(f".{MODULES[name]}", __name__)
    return module
