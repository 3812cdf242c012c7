"""The parts of a recipe: their weights found, their modules loaded."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..runtime.errors import InputError
from ..runtime.recipe import Recipe
from .backbones import entry
from .graphs import Graph, graphs
from .state_dict import read_state
from .weights import Weights, resolve


def resolve_all(recipe: Recipe, sources: Mapping[str, str]) -> dict[str, Weights]:
    """The weights of every part of a recipe, by its name."""
    if recipe.head:
        raise InputError(f"recipe {recipe.name}: no head {recipe.head!r} is known")
    parts = {use.name: entry(use.name) for use in recipe.backbones}
    if unknown := sources.keys() - parts.keys():
        raise InputError(
            f"--weights {min(unknown)}=…: recipe {recipe.name} has no such part; "
            f"it has {', '.join(parts)}"
        )
    return {name: resolve(name, part.weights, sources.get(name)) for name, part in parts.items()}


def reference_graphs(
    recipe: Recipe, weights: Mapping[str, Weights], dtype: torch.dtype = torch.float32
) -> list[Graph]:
    """The recipe's graphs with their weights loaded."""
    states = {name: read_state(found.path) for name, found in weights.items()}
    loaded = [
        entry(use.name).load(
            states[use.name], [tap.at for tap in use.taps], use.side or recipe.frame.side
        )
        for use in recipe.backbones
    ]
    return graphs(recipe, loaded, dtype=dtype)
