"""Which backbones are fine-tuned, and with what where nothing else is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...runtime.errors import InputError
from ...runtime.recipe import BackboneUse, Recipe


@dataclass(frozen=True)
class Family:
    """What the study of DINOv2, DINOv3 and SAM found best for a family of backbones.

    blocks: how many of the last ones are unfrozen.
    temperature: that cosine similarities are divided by; the study multiplies by its inverse.
    gpu_precision: what a GPU computes in where that is safe.
    """

    blocks: int
    temperature: float
    gpu_precision: Literal["fp32", "fp16"] = "fp32"


FAMILIES = {
    "dinov2": Family(2, 1 / 10),
    "dinov3": Family(3, 1 / 15),
    "sam": Family(4, 1 / 15, gpu_precision="fp16"),
}


def backbone_of(recipe: Recipe) -> BackboneUse:
    """The one backbone of a recipe that can be fine-tuned.

    Raises InputError for a recipe of several backbones, of one of another family, with a head, or
    with masks: their decoder reads the encoder as it is.
    """
    use, *others = recipe.backbones
    if others:
        names = ", ".join(each.name for each in recipe.backbones)
        raise InputError(
            f"recipe {recipe.name} fuses {names}: fine-tune the recipe of one backbone alone"
        )
    if use.name.partition("-")[0] not in FAMILIES:
        raise InputError(
            f"{use.name} cannot be fine-tuned; take a recipe of {', '.join(FAMILIES)}, or train a "
            f"head on it: geotrain head"
        )
    if recipe.head or recipe.masks:
        what = "a head" if recipe.head else "masks"
        raise InputError(
            f"recipe {recipe.name} has {what}; fine-tune a recipe of {use.name} without"
        )
    return use


def family_of(use: BackboneUse) -> Family:
    """The family a backbone belongs to."""
    return FAMILIES[use.name.partition("-")[0]]
