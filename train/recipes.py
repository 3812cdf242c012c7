"""The recipe that a head is trained for: a recipe as it ships, with that head in it."""

from __future__ import annotations

from ..export import recipe_files
from ..runtime.recipe import Recipe
from .settings import HeadSettings


def recipe_of(settings: HeadSettings) -> Recipe:
    """The recipe of the settings with its new head."""
    content = headless(settings).model_dump() | {"head": settings.name, "normalise": "none"}
    if settings.matching:
        content["matching"] = settings.matching.model_dump()
    return Recipe.model_validate(content)


def headless(settings: HeadSettings) -> Recipe:
    """The recipe of the settings without a head; what a head took as it was is normalised."""
    recipe = recipe_files.load(settings.recipe)
    if settings.frame:
        recipe = recipe_files.at_side(recipe, settings.frame)
    content = recipe.model_dump() | {"head": None, "keep": 0.0}
    if recipe.normalise == "none":
        content["normalise"] = "backbone"
    return Recipe.model_validate(content)
