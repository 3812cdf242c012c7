"""The torch modules that become ONNX graphs: backbones' taps, their fusion, the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..runtime.recipe import Recipe
from .backbones import Backbone


@dataclass(frozen=True)
class Graph:
    """A module to export: it takes the named inputs (batch, …) and returns the named outputs."""

    name: str
    module: nn.Module
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Sequence[str]


class Taps(nn.Module):
    """A frame to a backbone's taps: normalisation in fp32, the network in `dtype`, fp32 out."""

    def __init__(self, backbone: Backbone, dtype: torch.dtype) -> None:
        super().__init__()
        self.backbone = backbone.to(dtype)
        self.dtype = dtype
        self.register_buffer("mean", torch.tensor(backbone.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, 3, side, side) RGB in [0, 1] to one (batch, c, h, w) per tap."""
        normalised = (image - self.mean) / self.std
        return [tap.float() for tap in self.backbone(normalised.to(self.dtype))]


class Fusion(nn.Module):
    """Taps of all backbones to descriptors, as `Recipe` describes it."""

    def __init__(self, recipe: Recipe, head: nn.Module | None = None) -> None:
        super().__init__()
        self.grid, self.normalise, self.head = recipe.grid, recipe.normalise, head
        self.weights = [[tap.weight for tap in use.taps] for use in recipe.backbones]

    def forward(self, *taps: Tensor) -> Tensor:
        """One (batch, c, h, w) per tap, in the recipe's order, to (batch, grid, grid, channels)."""
        remaining = iter(taps)
        fused = [
            self._fuse([next(remaining) for _ in weights], weights) for weights in self.weights
        ]
        x = torch.cat(fused, dim=-1)
        if self.head is not None:
            x = self.head(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return _unit(x)

    def _fuse(self, taps: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        # Channels last from here on: a cell's channels lie together, so norms are read in order.
        aligned = [self._align(tap).permute(0, 2, 3, 1) for tap in taps]
        if self.normalise == "tap":
            aligned = [_unit(tap) for tap in aligned]
        x = torch.cat([tap * weight for tap, weight in zip(aligned, weights, strict=True)], dim=-1)
        return _unit(x) if self.normalise == "backbone" else x

    def _align(self, tap: Tensor) -> Tensor:
        if tap.shape[-2:] == (self.grid, self.grid):
            return tap
        size = (self.grid, self.grid)
        return F.interpolate(tap, size=size, mode="bilinear", align_corners=False)


def _unit(x: Tensor) -> Tensor:
    """Unit norm along the last axis; engines run a plain sum of squares faster than a norm."""
    return x * torch.rsqrt((x * x).sum(dim=-1, keepdim=True).clamp_min(1e-24))


class WholeRecipe(nn.Module):
    """Frame to descriptors in one graph, for recipes whose backbones share one frame side."""

    def __init__(self, backbones: Sequence[Taps], fusion: Fusion) -> None:
        super().__init__()
        self.backbones, self.fusion = nn.ModuleList(backbones), fusion

    def forward(self, image: Tensor) -> Tensor:
        """(batch, 3, side, side) RGB in [0, 1] to (batch, grid, grid, channels), unit norm."""
        return self.fusion(*(tap for backbone in self.backbones for tap in backbone(image)))


def graphs(
    recipe: Recipe,
    backbones: Sequence[Backbone],
    head: nn.Module | None = None,
    dtype: torch.dtype = torch.float32,
) -> list[Graph]:
    """The graphs of a recipe, in the order they run.

    Backbones that see the same frame make one graph from `image` to `descriptors`; where their
    sides differ each makes a graph of its own, and fusion is the last.
    """
    taps = [Taps(backbone, dtype).eval() for backbone in backbones]
    fusion = Fusion(recipe, head).eval()
    sides = [use.side or recipe.frame.side for use in recipe.backbones]
    if len(set(sides)) == 1:
        image = {"image": (3, sides[0], sides[0])}
        return [Graph("features", WholeRecipe(taps, fusion).eval(), image, ["descriptors"])]
    parts, shapes = [], {}
    for index, (tap, side, use) in enumerate(zip(taps, sides, recipe.backbones, strict=True)):
        names = [f"backbone{index}.{each.at}" for each in use.taps]
        parts.append(Graph(f"backbone{index}", tap, {"image": (3, side, side)}, names))
        with torch.inference_mode():
            outputs = tap(torch.zeros(1, 3, side, side))
        shapes |= {name: tuple(x.shape[1:]) for name, x in zip(names, outputs, strict=True)}
    return [*parts, Graph("fusion", fusion, shapes, ["descriptors"])]


def inputs(parts: Sequence[Graph], images: Mapping[int, Tensor]) -> list[dict[str, Tensor]]:
    """What each graph is fed when PyTorch runs them on frames by side (batch, 3, side, side)."""
    return _run(parts, images)[0]


def run(parts: Sequence[Graph], images: Mapping[int, Tensor]) -> Tensor:
    """Descriptors by PyTorch, (batch, grid, grid, channels), of frames by side."""
    return _run(parts, images)[1]["descriptors"]


def _run(
    parts: Sequence[Graph], images: Mapping[int, Tensor]
) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    tensors: dict[str, Tensor] = {}
    feeds = []
    with torch.inference_mode():
        for part in parts:
            if "image" in part.inputs:
                tensors["image"] = images[part.inputs["image"][-1]]
            feeds.append({name: tensors[name] for name in part.inputs})
            outputs = part.module(*feeds[-1].values())
            outputs = [outputs] if isinstance(outputs, Tensor) else outputs
            tensors |= dict(zip(part.outputs, outputs, strict=True))
    return feeds, tensors
