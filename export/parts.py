"""The parts of a recipe that need weights, and the weights found for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ..runtime.errors import GeoAwareError, InputError
from ..runtime.manifest import RANDOM
from ..runtime.recipe import BackboneUse, Recipe
from .backbones import entry
from .head_run import BEST
from .registry import KnownWeights, is_known, known
from .weights import Weights, resolve

_TRAINED_HEAD = KnownWeights(
    sources=(),
    get="train it with geotrain head",
    licence="unknown",
    page="",
    files=MappingProxyType({"model": (BEST,)}),
)


def part_names(recipe: Recipe) -> list[str]:
    """What a recipe needs weights for: backbones, what their conditioning takes, the head."""
    names = []
    for use in recipe.backbones:
        names += [use.name, *(f"{use.name}.{role}" for role in _conditioning_roles(use))]
    return list(dict.fromkeys([*names, *([recipe.head] if recipe.head else [])]))


def optional_parts(recipe: Recipe) -> list[str]:
    """What a recipe takes weights for where a source names them."""
    return [f"{use.name}.unet" for use in recipe.backbones if entry(use.name).diffuses]


def resolve_all(
    recipe: Recipe, sources: Mapping[str, str], seed: int | None = None
) -> dict[str, Weights]:
    """The weights of every part of a recipe, by its name.

    sources: what `weights.locate` takes, or a name of the registry, by part.
    seed: of random weights for every part that has no source.

    Raises InputError for a source of another part, or for a head that nobody knows and that has
    no source, and what `weights.resolve` raises.
    """
    if recipe.head and not is_known(recipe.head) and recipe.head not in sources:
        raise InputError(
            f"recipe {recipe.name}: unknown head {recipe.head!r}; known: geoaware-sc; "
            f"one that you trained is built with --head RUN or --weights {recipe.head}=FILE"
        )
    names, optional = part_names(recipe), optional_parts(recipe)
    if unknown := sources.keys() - {*names, *optional}:
        raise InputError(
            f"--weights {min(unknown)}=…: recipe {recipe.name} has no such part; "
            f"it has {', '.join([*names, *optional])}"
        )
    default = None if seed is None else f"{RANDOM}{seed}"
    chosen = {name: sources.get(name, default) for name in names}
    chosen |= {name: sources[name] for name in optional if name in sources}
    for name in chosen:
        backbone, _, role = name.partition(".")
        if role == "tokenizer" and chosen[name] is None and _is_tree(chosen[backbone]):
            chosen[name] = chosen[backbone]
    _check_given(chosen)
    return {name: _resolved(name, source) for name, source in chosen.items()}


def _conditioning_roles(use: BackboneUse) -> tuple[str, ...]:
    kind = use.diffusion.conditioning if use.diffusion else "empty"
    return {"empty": (), "caption": ("tokenizer",), "implicit": ("clip", "captioner")}[kind]


def _is_tree(source: str | None) -> bool:
    """Whether a source may hold a tokenizer beside the weights."""
    return source is not None and not is_known(source) and not Path(source).expanduser().is_file()


def _check_given(chosen: Mapping[str, str | None]) -> None:
    """Raise GeoAwareError, before anything is downloaded, for weights only a person can fetch."""
    by_hand = [
        part for part, source in chosen.items() if source is None and not known(part).sources
    ]
    if by_hand:
        raise GeoAwareError(
            "; ".join(f"{part}: {known(part).get}" for part in by_hand)
            + "; then name "
            + " ".join(f"--weights {part}=FILE" for part in by_hand)
        )


def _resolved(part: str, source: str | None) -> Weights:
    own = known(part) if is_known(part) else _TRAINED_HEAD
    if source is None or not is_known(source):
        found = resolve(part, own, source)
    elif known(source).files.keys() == own.files.keys():
        found = resolve(part, known(source))
    else:
        raise InputError(f"--weights {part}={source}: {source} is no {part}")
    if "vocab" in own.files and found.files.keys() == {"model"}:
        raise InputError(f"--weights {part}={source}: name the folder of its vocab.json")
    return found
