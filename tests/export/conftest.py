from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from geoaware.export import recipe_files
from geoaware.export.build import build
from geoaware.export.request import Request
from geoaware.runtime import Bundle
from geoaware.runtime.recipe import Recipe


def quiet(_: str) -> None:
    """Report nothing."""


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """The lite recipe at a frame of 64 pixels: the same code, in a fraction of the time."""
    return recipe_files.at_side(recipe_files.load("lite"), 64)


@pytest.fixture(scope="session")
def built(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """The tiny recipe, built once in each precision."""
    folder, bundles = tmp_path_factory.mktemp("bundles"), {}

    def get(precision: str) -> Bundle:
        if precision not in bundles:
            out: Path = folder / precision
            request = Request(tiny, precision=precision, frame=64, out=out)
            bundles[precision], _ = build(request, quiet)
        return bundles[precision]

    return get
