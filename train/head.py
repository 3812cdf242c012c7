"""The projection head: taps of several backbones to one geometry-aware descriptor.

`AggregationNetwork` of "Telling Left from Right" (CVPR 2024), after Diffusion Hyperfeatures: each
tap passes a ResNet bottleneck, and the results are summed with learned weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..runtime.errors import GeoAwareError, InputError

GROUPS = 32  # of every GroupNorm of the published head: no weight's shape tells

_FIRST_CONV = re.compile(r"bottleneck_layers\.(\d+)\.0\.conv1\.weight")


class NormedConv(nn.Conv2d):
    """A convolution without bias, then GroupNorm; the grid may change between the two."""

    def __init__(self, inputs: int, outputs: int, groups: int, kernel: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.GroupNorm(groups, outputs)

    def forward(self, x: Tensor, grid: int | None = None) -> Tensor:
        """(batch, c, h, w) to (batch, c', h, w), or to (batch, c', grid, grid)."""
        return self.norm(_resized(super().forward(x), grid))


class Bottleneck(nn.Module):
    """A residual bottleneck of 1x1, 3x3 and 1x1 convolutions; 1x1 on the shortcut if it must.

    A 1x1 convolution commutes with bilinear resizing, which leaves channels alone and whose
    weights sum to one: so both that see the input run on the input's own grid.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.shortcut = NormedConv(inputs, outputs, groups) if inputs != outputs else None
        self.conv1 = NormedConv(inputs, hidden, groups)
        self.conv2 = NormedConv(hidden, hidden, groups, kernel=3)
        self.conv3 = NormedConv(hidden, outputs, groups)

    def forward(self, x: Tensor, grid: int | None = None) -> Tensor:
        """What the block makes of x (batch, c, h, w), or of x resized to grid x grid."""
        y = F.relu(self.conv1(x, grid))
        y = F.relu(self.conv2(y))
        shortcut = self.shortcut(x, grid) if self.shortcut is not None else _resized(x, grid)
        return F.relu(self.conv3(y) + shortcut)


class ProjectionHead(nn.Module):
    """Bottlenecks, one a branch, summed with softmax(mixing_weights). By default as published.

    branches: channels of each branch's input. hidden, outputs: channels inside and after the
    bottlenecks, divisible by `groups`, those of every GroupNorm. dropout: the share of the input's
    values, on the grid, that training leaves out. The parameters have the published names;
    `logit_scale` and `self_logit_scale` only serve training.

    One branch that has as many channels as the result makes a residual adapter: it has no shortcut.

    Raises InputError for widths that the groups do not divide.
    """

    def __init__(
        self,
        branches: Sequence[int] = (640, 1280, 1280, 768),
        hidden: int = 192,
        outputs: int = 768,
        groups: int = GROUPS,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_divisible(hidden, outputs, groups)
        self.branches = tuple(branches)
        self.dropout = nn.Dropout(dropout)
        self.bottleneck_layers = nn.ModuleList(
            nn.Sequential(Bottleneck(inputs, hidden, outputs, groups)) for inputs in branches
        )
        self.mixing_weights = nn.Parameter(torch.ones(len(branches)))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.self_logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        if groups != GROUPS:  # where they are the published ones, so are the state's names
            self.register_buffer("groups", torch.tensor(groups))

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> ProjectionHead:
        """The head with these weights, in eval mode; its widths are read from their shapes.

        Raises GeoAwareError naming the keys and shapes that do not fit, or weights not finite.
        """
        try:
            head = cls(*_widths(state), groups=_groups(state))
            head.load_state_dict(state)
        except (ValueError, RuntimeError, InputError) as error:
            problem = " ".join(str(error).split())
            raise GeoAwareError(f"these are not weights of a projection head: {problem}") from None
        for key, weight in state.items():
            if not torch.isfinite(weight).all():
                raise GeoAwareError(f"this head is damaged: {key} holds NaN or infinite values")
        return head.eval()

    def forward(self, x: Tensor, normalize: bool = True) -> Tensor:
        """Concatenated taps (batch, sum of branches, h, w) to descriptors (batch, outputs, h, w).

        normalize: unit norm per cell, computed in float32. Raises InputError for another number
        of channels.
        """
        if x.shape[1] != sum(self.branches):
            raise InputError(f"{self._takes()}, together {sum(self.branches)}, not {x.shape[1]}")
        mixed = self._mixed(self.dropout(x).split(self.branches, dim=1), None)
        return F.normalize(mixed.float(), dim=1).to(x.dtype) if normalize else mixed

    def of_taps(self, taps: Sequence[Tensor], grid: int) -> Tensor:
        """Taps at their own resolutions, one a branch, to (batch, outputs, grid, grid).

        What `forward` without `normalize` makes of the taps resized bilinearly (half-pixel
        centres) and concatenated, for a fraction of the work where taps are coarse. Raises
        InputError for taps of other channels.
        """
        channels = tuple(tap.shape[1] for tap in taps)
        if channels != self.branches:
            raise InputError(f"{self._takes()}, not {len(taps)} taps of {_listed(channels)}")
        if self.training and self.dropout.p:
            taps = [self.dropout(_resized(tap, grid)) for tap in taps]
        return self._mixed(taps, grid)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Tensor], prefix: str, *others: Any
    ) -> None:
        """Refuse a state of other groups, which every shape would let pass."""
        groups, own = state_dict.get(f"{prefix}groups"), dict(self.named_buffers()).get("groups")
        if groups is not None and own is not None and not torch.equal(groups.cpu(), own.cpu()):
            errors = others[-1]
            errors.append(f"norms of {groups.tolist()} groups, not of {int(own)}")
            return
        super()._load_from_state_dict(state_dict, prefix, *others)

    def _mixed(self, taps: Sequence[Tensor], grid: int | None) -> Tensor:
        shares = self.mixing_weights.softmax(dim=0)
        layers = zip(self.bottleneck_layers, taps, shares.unbind(), strict=True)
        # the sequence is there for the published names; its one block also takes the grid
        return reduce(torch.add, (share * layer[0](tap, grid) for layer, tap, share in layers))

    def _takes(self) -> str:
        return f"the head takes {len(self.branches)} taps of {_listed(self.branches)} channels"


def _resized(x: Tensor, grid: int | None) -> Tensor:
    if grid is None or x.shape[-2:] == (grid, grid):
        return x
    return F.interpolate(x, size=(grid, grid), mode="bilinear", align_corners=False)


def _widths(state: Mapping[str, Tensor]) -> tuple[list[int], int, int]:
    """Channels of the branches, of the bottlenecks, and of the result. Raises ValueError."""
    inputs = {
        int(found[1]): weight.shape[1]
        for key, weight in state.items()
        if (found := _FIRST_CONV.fullmatch(key)) and weight.ndim == 4
    }
    last = state.get("bottleneck_layers.0.0.conv3.weight")
    if last is None or last.ndim != 4 or sorted(inputs) != list(range(len(inputs))):
        raise ValueError(
            f"of bottleneck_layers.0.0.conv1.weight, bottleneck_layers.0.0.conv3.weight, … some "
            f"are missing or misshapen; found {', '.join(sorted(state)[:3]) or 'nothing'}, …"
        )
    return [inputs[index] for index in range(len(inputs))], last.shape[1], last.shape[0]


def _groups(state: Mapping[str, Tensor]) -> int:
    """The groups of every norm. Raises ValueError."""
    groups = state.get("groups", torch.tensor(GROUPS))
    if groups.ndim or groups.is_floating_point():
        raise ValueError("groups is no whole number")
    return int(groups)


def _check_divisible(hidden: int, outputs: int, groups: int) -> None:
    for name, width in (("hidden", hidden), ("outputs", outputs)):
        if groups < 1 or width % groups:
            raise InputError(
                f"the head's {name}, {width} channels, are not divisible into {groups} groups"
            )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
