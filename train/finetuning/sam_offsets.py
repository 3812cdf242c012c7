"""SAM's relative positions as parameters: the encoder has them folded for a side, as constants."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...export.backbones.sam import Attention, offsets_folded

TABLES = ("rel_pos_h", "rel_pos_w")


class Folded(nn.Module):
    """A table of offsets (2 n - 1, channels), folded for side positions whenever it is read."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, table: Tensor) -> Tensor:
        """(2 n - 1, channels) to (side, channels, side)."""
        return offsets_folded(table, self.side)

    def right_inverse(self, folded: Tensor) -> Tensor:
        """The table of the side's own size."""
        return unfolded(folded)


def unfolded(folded: Tensor) -> Tensor:
    """The inverse of `offsets_folded`: (side, channels, side) to a table (2 side - 1, channels).

    Query i and key k are i - k apart: the first query has the offsets up to 0, from the last key
    on, and the first key those from 0.
    """
    return torch.cat([folded[0].T.flip(0), folded[1:, :, 0]])


def make_trainable(attention: Attention, tables: dict[str, Tensor]) -> None:
    """Turn a block's relative positions into parameters.

    tables: by name, of the size they were published in, where they are at hand: gradients then
    pass through the interpolation to this frame's side.
    """
    for name in TABLES:
        folded = getattr(attention, name)
        delattr(attention, name)
        attention.register_parameter(name, nn.Parameter(folded))
        parametrize.register_parametrization(attention, name, Folded(len(folded)))
        if name in tables:
            table = nn.Parameter(tables[name].float().clone())
            attention.parametrizations[name].original = table
