from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from geoaware.export import recipe_files
from geoaware.runtime import GeoAwareError

LITE = recipe_files.load("lite").model_dump(mode="json", exclude_none=True)


def write(folder: Path, content: object) -> str:
    path = folder / "mine.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def test_a_copy_of_a_recipe_is_that_recipe(tmp_path: Path):
    assert recipe_files.load(write(tmp_path, LITE)) == recipe_files.load("lite")


def test_unknown_recipes_are_answered_with_those_there_are():
    with pytest.raises(GeoAwareError, match="no recipe 'nope'; shipped: .*lite"):
        recipe_files.load("nope")
    with pytest.raises(GeoAwareError, match="no recipe 'nope.yaml'"):
        recipe_files.load("nope.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": 0}, "grid: Input should be greater than or equal to 1"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"name": "../up"}, "name: String should match pattern"),
        ({"backbones": []}, "backbones: Tuple should have at least 1 item"),
        ({"matching": {"method": "softargmax"}}, "softargmax needs window"),
        ({"matching": {"method": "argmax", "window": 3}}, "belong to softargmax"),
        ({"frame": {"mode": "crop"}}, "frame.mode"),
    ],
)
def test_mistakes_are_named_by_key(tmp_path: Path, change: dict, message: str):
    with pytest.raises(GeoAwareError, match=message):
        recipe_files.load(write(tmp_path, LITE | change))


@pytest.mark.parametrize("content", ["a: [", "!!python/object/apply:os.system ['true']", "- 1"])
def test_files_that_are_no_recipe_are_refused(tmp_path: Path, content: str):
    with pytest.raises(GeoAwareError, match=r"mine\.yaml: "):
        recipe_files.load(write(tmp_path, content))


def test_another_frame_side_keeps_the_cells_size():
    recipe = recipe_files.at_side(recipe_files.load("lite"), 384)
    assert (recipe.frame.side, recipe.grid) == (384, 24)
    with pytest.raises(
        GeoAwareError, match="frame side 500 does not fit lite: use a multiple of 16"
    ):
        recipe_files.at_side(recipe_files.load("lite"), 500)
