"""Recipe files: those that ship with the exporter, and a user's own."""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import ValidationError

from ..runtime.errors import InputError, first_line, first_problem
from ..runtime.recipe import Recipe

_FOLDER = files(__package__) / "recipes"


def names() -> list[str]:
    """The recipes that ship with the exporter."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir())


def load(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or one from a YAML file.

    Raises InputError for an unknown name, a missing file, or one that holds no recipe, naming
    the key.
    """
    if name_or_path in names():
        return _parse((_FOLDER / f"{name_or_path}.yaml").read_text("utf-8"), name_or_path)
    path = Path(name_or_path).expanduser()
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return _parse(_read(path), str(path))
    raise InputError(
        f"no recipe {name_or_path!r}; shipped: {', '.join(names())}; or name a .yaml file"
    )


def at_side(recipe: Recipe, side: int) -> Recipe:
    """The recipe for another frame side; cells keep their size in frame pixels.

    Raises InputError where that leaves no whole number of cells.
    """
    old = recipe.frame.side
    sides = [use.side for use in recipe.backbones if use.side]
    step = old // math.gcd(old, recipe.grid, *sides)
    if side % step:
        raise InputError(f"frame side {side} does not fit {recipe.name}: use a multiple of {step}")
    content = recipe.model_dump()
    content["frame"]["side"] = side
    content["grid"] = recipe.grid * side // old
    for use in content["backbones"]:
        use["side"] = use["side"] and use["side"] * side // old
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise InputError(f"frame side {side}: {first_problem(error)}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {first_line(error)}") from None


def _parse(text: str, where: str) -> Recipe:
    try:
        content = yaml.safe_load(text)
        if not isinstance(content, dict):
            raise InputError(f"{where}: holds no recipe; copy one that ships and change it")
        return Recipe.model_validate(content)
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise InputError(f"{where}: {first_problem(error)}") from None
