"""The torch modules that become ONNX graphs: backbones' taps, their fusion, the head, masks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..runtime.recipe import Recipe
from ..train.head import ProjectionHead
from .backbones import Backbone
from .half import halved

Shape = tuple["int | str", ...]


@dataclass(frozen=True)
class Graph:
    """A module to export: it takes the named inputs (batch, …) and returns the named outputs.

    inputs: shapes without the batch; a dimension that is a name is free.
    whole: the names of inputs that hold whole numbers.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Shape]
    outputs: Sequence[str]
    whole: Sequence[str] = ()


class Taps(nn.Module):
    """A frame to a backbone's taps: normalisation in fp32, the network in `dtype`, fp32 out."""

    def __init__(self, backbone: Backbone, dtype: torch.dtype) -> None:
        super().__init__()
        self.backbone = halved(backbone) if dtype == torch.float16 else backbone
        self.dtype = dtype
        self.register_buffer("mean", torch.tensor(backbone.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, 3, side, side) RGB in [0, 1] to one (batch, c, h, w) per tap."""
        normalised = (image - self.mean) / self.std
        return [tap.float() for tap in self.backbone(normalised.to(self.dtype))]


class Fusion(nn.Module):
    """Taps of all backbones to descriptors, as `Recipe` describes it.

    dtype: what the head computes in; its weights are turned to it. Norms are taken in float32.
    """

    def __init__(
        self,
        recipe: Recipe,
        head: ProjectionHead | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.grid, self.normalise, self.dtype = recipe.grid, recipe.normalise, dtype
        self.keep = recipe.keep
        self.head = halved(head) if head and dtype == torch.float16 else head
        self.weights = [[tap.weight for tap in use.taps] for use in recipe.backbones]

    def forward(self, *taps: Tensor) -> Tensor:
        """One (batch, c, h, w) per tap, in the recipe's order, to (batch, grid, grid, channels).

        Taps are float32, descriptors too, of unit norm; gradients reach the head's parameters.
        """
        if self.head is None:
            return self._fused(taps)
        projected = self._projected(self.head, taps)
        if not self.keep:
            return projected
        shares = math.sqrt(self.keep), math.sqrt(1 - self.keep)
        return torch.cat([shares[0] * self._fused(taps), shares[1] * projected], dim=-1)

    def _fused(self, taps: Sequence[Tensor]) -> Tensor:
        remaining = iter(taps)
        fused = [
            self._fuse([next(remaining) for _ in weights], weights) for weights in self.weights
        ]
        return _unit(torch.cat(fused, dim=-1))

    def _projected(self, head: ProjectionHead, taps: Sequence[Tensor]) -> Tensor:
        """The head on the taps as they are: it upsamples each where that has fewest channels."""
        weights = [weight for each in self.weights for weight in each]
        scaled = [tap.to(self.dtype) * weight for tap, weight in zip(taps, weights, strict=True)]
        return _unit(head.of_taps(scaled, self.grid).float().permute(0, 2, 3, 1))

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

    def __init__(self, backbones: Sequence[Taps], fusion: Fusion, embedding: bool) -> None:
        super().__init__()
        self.backbones, self.fusion = nn.ModuleList(backbones), fusion
        self.embedding = embedding

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, 3, side, side) RGB in [0, 1] to (batch, grid, grid, channels), unit norm.

        With `embedding` the first tap (batch, c, h, w) comes second, for a mask decoder.
        """
        taps = [tap for backbone in self.backbones for tap in backbone(image)]
        return [self.fusion(*taps), *(taps[:1] if self.embedding else [])]


def graphs(
    recipe: Recipe,
    backbones: Sequence[Backbone],
    head: ProjectionHead | None = None,
    dtype: torch.dtype = torch.float32,
) -> list[Graph]:
    """The graphs of a recipe, in the order they run.

    Backbones that see the same frame make one graph from `image` to `descriptors`; where their
    sides differ each makes a graph of its own, and fusion is the last.
    """
    taps = [Taps(backbone, dtype).eval() for backbone in backbones]
    fusion = Fusion(recipe, head, dtype).eval()
    sides = [use.side or recipe.frame.side for use in recipe.backbones]
    if len(set(sides)) == 1:
        image = {"image": (3, sides[0], sides[0])}
        names = ["descriptors", *(["embedding"] if recipe.masks else [])]
        return [Graph("features", WholeRecipe(taps, fusion, recipe.masks).eval(), image, names)]
    parts, shapes = [], {}
    for index, (tap, side, use) in enumerate(zip(taps, sides, recipe.backbones, strict=True)):
        names = [f"backbone{index}.{each.at}" for each in use.taps]
        parts.append(Graph(f"backbone{index}", tap, {"image": (3, side, side)}, names))
        shapes |= dict(zip(names, _output_shapes(tap, side), strict=True))
    return [*parts, Graph("fusion", fusion, shapes, ["descriptors"])]


def decoder_graph(decoder: nn.Module, side: int) -> Graph:
    """The graph of a mask decoder for the embeddings of frames of this side."""
    cells = side // 16
    shapes = {"embedding": (256, cells, cells), "points": ("prompts", 2), "labels": ("prompts",)}
    return Graph("masks", decoder, shapes, ["masks", "scores"], whole=["labels"])


def _output_shapes(taps: Taps, side: int) -> list[tuple[int, ...]]:
    """What the taps of a frame look like, without computing them."""
    state = {**dict(taps.named_parameters()), **dict(taps.named_buffers())}
    nowhere = {name: tensor.to("meta") for name, tensor in state.items()}
    with torch.inference_mode():
        outputs = functional_call(
            taps, nowhere, torch.empty(1, 3, side, side, device="meta"), strict=True
        )
    return [tuple(each.shape[1:]) for each in outputs]


def inputs(parts: Sequence[Graph], images: Mapping[int, Tensor]) -> list[dict[str, Tensor]]:
    """What each graph is fed when PyTorch runs them on frames by side (batch, 3, side, side)."""
    return _run(parts, images)[0]


def run(parts: Sequence[Graph], images: Mapping[int, Tensor]) -> Tensor:
    """Descriptors by PyTorch, (batch, grid, grid, channels), of frames by side."""
    return outputs(parts, images)["descriptors"]


def outputs(parts: Sequence[Graph], images: Mapping[int, Tensor]) -> dict[str, Tensor]:
    """Everything the graphs give, by name, when PyTorch runs them on frames by side."""
    return _run(parts, images)[1]


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
            made = part.module(*feeds[-1].values())
            made = [made] if isinstance(made, Tensor) else made
            tensors |= dict(zip(part.outputs, made, strict=True))
    return feeds, tensors
