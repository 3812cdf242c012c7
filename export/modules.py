"""The torch modules of a recipe, with their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from ..runtime.errors import InputError
from ..runtime.recipe import BackboneUse, Recipe
from ..train.head import ProjectionHead
from .backbones import Backbone, entry
from .graphs import Graph, decoder_graph, graphs
from .state_dict import read_state
from .weights import Weights


def reference_graphs(
    recipe: Recipe, weights: Mapping[str, Weights], dtype: torch.dtype = torch.float32
) -> list[Graph]:
    """The recipe's graphs with their weights loaded."""
    backbones = [_backbone(use, use.side or recipe.frame.side, weights) for use in recipe.backbones]
    head = _head(weights[recipe.head]) if recipe.head else None
    return graphs(recipe, backbones, head, dtype)


def reference_decoder(recipe: Recipe, weights: Mapping[str, Weights]) -> Graph | None:
    """The graph of SAM's mask decoder, for a recipe that makes masks."""
    if not recipe.masks:
        return None
    from .mask_decoder import load_decoder  # transformers: seconds that most builds need not wait

    [use] = recipe.backbones
    found = weights[use.name]
    side = use.side or recipe.frame.side
    with _seeded(found):
        return decoder_graph(load_decoder(_states(found), side), side)


def _backbone(use: BackboneUse, side: int, weights: Mapping[str, Weights]) -> Backbone:
    roles = {
        part.partition(".")[2]: found
        for part, found in weights.items()
        if part.partition(".")[0] == use.name
    }
    if len({found.seed is None for found in roles.values()}) > 1:
        raise InputError(f"{use.name}: random weights are for all of its parts or for none")
    tokenizer = roles.pop("tokenizer", None)
    states = _states(roles.pop(""))
    if states is not None:
        states |= {role: read_state(found.files["model"]) for role, found in roles.items()}
    with _seeded(weights[use.name]):
        folder = tokenizer.files["vocab"].parent if tokenizer and tokenizer.files else None
        return entry(use.name).load(states, use, side, folder)


def _head(weights: Weights) -> ProjectionHead:
    states = _states(weights)
    with _seeded(weights):
        if states is None:
            return ProjectionHead().eval()
        return ProjectionHead.from_state_dict(states["model"])


def _states(weights: Weights) -> dict[str, Mapping[str, Tensor]] | None:
    """The tensors of a part by role; None for random weights."""
    if weights.seed is not None:
        return None
    return {role: read_state(path) for role, path in weights.files.items()}


@contextmanager
def _seeded(weights: Weights) -> Iterator[None]:
    """Where weights are random, torch draws them from their seed."""
    with torch.random.fork_rng(devices=[]):
        if weights.seed is not None:
            torch.manual_seed(weights.seed)
        yield
