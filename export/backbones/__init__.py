"""Backbones by name.

To add one: write its module, give it an entry here, and its published weights one in `registry.py`.
This file imports no torch, so that programs can list what there is at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from ...runtime.errors import InputError
from ...runtime.recipe import BackboneUse

if TYPE_CHECKING:
    from torch import Tensor

States: TypeAlias = "Mapping[str, Mapping[str, Tensor]]"


class Backbone(Protocol):
    """A torch module that turns normalised frames into taps."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Frames (batch, 3, side, side), normalised, to one (batch, c, h, w) per tap."""


@dataclass(frozen=True)
class Entry:
    """A backbone: the module here that makes it, and what it is.

    attends: whether it is a transformer. diffuses: whether it is a diffusion model.
    """

    module: str
    attends: bool = True
    diffuses: bool = False

    def load(
        self, states: States | None, use: BackboneUse, side: int, tokenizer: Path | None = None
    ) -> Backbone:
        """The backbone with these weights, computing these taps of frames of this side.

        states: tensors by role ("model" where there is one); None for random weights, drawn from
        torch's generator as it is.
        tokenizer: a folder with `vocab.json` and `merges.txt`, where a caption is to be read.

        Raises InputError for unknown taps or a side it cannot take, GeoAwareError for weights
        of another architecture.
        """
        if use.diffusion and not self.diffuses:
            raise InputError(f"{use.name} is no diffusion model; leave out its diffusion settings")
        given = {} if tokenizer is None else {"tokenizer": tokenizer}
        made: Backbone = import_module(f".{self.module}", __name__).load(states, use, side, **given)
        return made


_ENTRIES = {
    "efficientnet-lite0": Entry("efficientnet_lite", attends=False),
    **{f"dinov2-{size}": Entry("dinov2") for size in "sblg"},
    **{f"dinov3-{size}": Entry("dinov3") for size in "sbl"},
    **{f"sam-{size}": Entry("sam") for size in "blh"},
    "sd15": Entry("stable_diffusion", diffuses=True),
}


def entry(name: str) -> Entry:
    """The backbone of this name. Raises InputError where there is none."""
    if name not in _ENTRIES:
        raise InputError(f"unknown backbone {name!r}; known: {', '.join(sorted(_ENTRIES))}")
    return _ENTRIES[name]
