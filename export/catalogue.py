"""What there is to build, and what is built."""

from __future__ import annotations

from collections.abc import Iterator

from ..runtime.bundle import installed, is_shipped, read_manifest
from ..runtime.errors import GeoAwareError
from . import recipe_files
from .backbones import entry
from .weights import resolve


def recipes() -> Iterator[dict[str, str]]:
    """Every shipped recipe, and whether the weights it needs are at hand."""
    for name in recipe_files.names():
        recipe = recipe_files.load(name)
        weights, licences = "at hand", []
        for use in recipe.backbones:
            known = entry(use.name).weights
            licences.append(known.licence)
            try:
                resolve(use.name, known, download=False)
            except GeoAwareError:
                weights = f"missing: {known.install}"
        yield {
            "recipe": name,
            "summary": recipe.summary,
            "licence": ", ".join(licences),
            "weights": weights,
        }


def bundles() -> Iterator[dict[str, str]]:
    """Every bundle at hand: built ones first, then those that ship with the package."""
    for path in installed():
        try:
            manifest = read_manifest(path)
        except GeoAwareError as error:
            yield {"bundle": path.name, "state": str(error), "size": "", "path": str(path)}
            continue
        size = sum(file.bytes for model in manifest.models for file in model.files)
        yield {
            "bundle": manifest.name,
            "state": "shipped" if is_shipped(path) else f"built {manifest.built.date[:10]}",
            "size": f"{size / 1e6:.1f} MB",
            "path": str(path),
        }
