"""Bundles by name: what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from geoaware.runtime.bundle import DEFAULT, MANIFEST, NAMES_TOLD, find, home
from geoaware.runtime.errors import InputError

RECIPES = Path(__file__).parents[2] / "export" / "recipes"


@pytest.fixture(autouse=True)
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOAWARE_HOME", str(tmp_path))
    for name in ("dinov2-s", "lite-mugs"):
        (home() / name).mkdir(parents=True)
        (home() / name / MANIFEST).touch()


@pytest.mark.parametrize(
    ("name", "command", "nearest"),
    [
        ("dinov2-b", "dinov2-b", "dinov2-s, lite-mugs, lite"),
        ("lite-384px-fp16", "lite --frame 384 --precision fp16", "lite"),
        ("lite-mug", "lite --head RUN", "lite-mugs, lite, dinov2-s"),
        ("lite-mug-fp16", "lite --precision fp16 --head RUN", "lite-mugs, lite"),
    ],
)
def test_a_bundle_that_is_not_built(name: str, command: str, nearest: str):
    with pytest.raises(InputError) as caught:
        find(name)
    assert str(caught.value).startswith(
        f"bundle {name!r} is not built; build it: geoexport build {command} "
        f"(geoexport list names the recipes); at hand: {nearest}"
    )


def test_of_many_bundles_the_nearest_are_told():
    for number in range(NAMES_TOLD):
        (home() / f"sam-{number}").mkdir()
        (home() / f"sam-{number}" / MANIFEST).touch()
    with pytest.raises(InputError, match=r"at hand: sam-0, sam-1, sam-2, sam-3, sam-4, …$"):
        find("sam-9")


def test_no_recipe_has_the_name_of_the_default_with_a_head():
    names = [path.stem for path in RECIPES.glob("*.yaml")]
    assert DEFAULT in names
    assert not [name for name in names if name.startswith(f"{DEFAULT}-")]
