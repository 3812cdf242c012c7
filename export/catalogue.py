"""What there is to build, and what is built."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files

from ..runtime.bundle import installed, is_shipped, read_manifest
from ..runtime.errors import GeoAwareError
from . import recipe_files
from .parts import part_names
from .registry import known
from .weights import locate

AT_HAND = "at hand"


def recipes(parts: Iterable[Mapping[str, str]]) -> Iterator[dict[str, str]]:
    """Every shipped recipe: how large it is in fp32, and which of the parts' weights are missing.

    parts: what `parts` gives.
    """
    measured = json.loads((files(__package__) / "measured.json").read_text("utf-8"))
    missing = {row["part"] for row in parts if row["weights"] != AT_HAND}
    for name in recipe_files.names():
        recipe = recipe_files.load(name)
        figures = measured.get(name)
        lacking = [part for part in part_names(recipe) if part in missing]
        yield {
            "recipe": name,
            "size": f"{figures['bundle_mb']:,} MB" if figures else "",
            "memory": f"{figures['extract_mb']:,} MB" if figures else "",
            "weights": f"missing: {', '.join(lacking)}" if lacking else AT_HAND,
            "summary": recipe.summary,
        }


def parts() -> Iterator[dict[str, str]]:
    """Every part of the shipped recipes: its licence, and how to get its weights."""
    names = {part for name in recipe_files.names() for part in part_names(recipe_files.load(name))}
    for name in sorted(names):
        published = known(name)
        yield {
            "part": name,
            "weights": _at_hand_or_how(name),
            "licence": f"{published.licence}: {published.page}",
        }


def _at_hand_or_how(part: str) -> str:
    try:
        locate(part, known(part), download=False)
    except GeoAwareError:
        return known(part).get
    return AT_HAND


def bundles() -> Iterator[dict[str, str]]:
    """Every bundle at hand: built ones first, then those that ship with the package."""
    for path in installed():
        try:
            manifest = read_manifest(path)
        except GeoAwareError as error:
            yield {"bundle": path.name, "state": str(error), "size": "", "path": str(path)}
            continue
        size = sum(file.bytes for file in manifest.files)
        yield {
            "bundle": manifest.name,
            "state": "shipped" if is_shipped(path) else f"built {manifest.built.date[:10]}",
            "size": f"{size / 1e6:.1f} MB",
            "path": str(path),
        }
