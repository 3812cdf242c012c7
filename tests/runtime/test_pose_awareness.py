"""Global pose awareness: distances, votes and shares by hand, and `georun pose-awareness`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageEnhance

from geoaware.examples import PHOTOGRAPHS
from geoaware.kernels import unit
from geoaware.runtime import FeatureMap, Frame
from geoaware.runtime.cli import georun
from geoaware.runtime.errors import GeoAwareError, InputError
from geoaware.runtime.evaluation.pose_awareness import Guess, PoseAwareness, Share, guess
from geoaware.runtime.evaluation.views import DIRECTIONS, View, read_views, template_sets


def view(direction: str, name: str = "cat") -> View:
    place = f"{name}_{direction}.png"
    return View(Path(place), place, name, direction)


def features(seed: int, cells: int = 8) -> FeatureMap:
    descriptors = np.random.default_rng(seed).standard_normal((cells, cells, 6))
    return FeatureMap(unit(descriptors), Frame.fit("stretch", 80, 120, 60), "toy")


def upsampled(descriptors: np.ndarray) -> np.ndarray:
    """(8, 8, C) to (64, 64, C), linear between the centres of cells."""
    for axis in (0, 1):
        at = (np.arange(64) + 0.5) / 8 - 0.5
        descriptors = np.apply_along_axis(
            lambda line, at=at: np.interp(at, np.arange(8), line), axis, descriptors
        )
    return descriptors


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a.astype(float)[:, None] - b.astype(float), axis=2)


TEMPLATES = {
    name: {each: features(10 * number + k) for k, each in enumerate(DIRECTIONS)}
    for number, name in ((1, "black"), (2, "white"))
}


def test_with_a_mask_its_cells_find_their_nearest_in_the_whole_template():
    mask = np.zeros((60, 120), bool)
    mask[15:30, 60:75] = True  # 16 x 8 of the 64 x 64 cells
    query = features(0)
    found = guess(view("left"), query, TEMPLATES, DIRECTIONS, mask)
    inside = upsampled(query.descriptors)[16:32, 32:40].reshape(-1, 6)
    for row, views in enumerate(TEMPLATES.values()):
        for column, each in enumerate(DIRECTIONS):
            cells = upsampled(views[each].descriptors).reshape(-1, 6)
            expected = distances(inside, cells).min(axis=1).mean()
            assert found.distances[row, column] == pytest.approx(expected, abs=1e-4)


def test_without_a_mask_mutual_nearest_neighbours_count():
    query = features(0)
    found = guess(view("left"), query, TEMPLATES, DIRECTIONS)
    for row, views in enumerate(TEMPLATES.values()):
        for column, each in enumerate(DIRECTIONS):
            between = distances(
                query.descriptors.reshape(-1, 6), views[each].descriptors.reshape(-1, 6)
            )
            mutual = [
                between[a, b]
                for a, b in enumerate(between.argmin(axis=1))
                if between[:, b].argmin() == a
            ]
            assert found.distances[row, column] == pytest.approx(np.mean(mutual), abs=1e-4)


def test_a_mask_between_the_cells_is_refused():
    mask = np.zeros((600, 1200), bool)
    mask[0, 0] = True
    frame = Frame.fit("stretch", 80, 1200, 600)
    query = FeatureMap(features(0).descriptors, frame, "toy")
    with pytest.raises(GeoAwareError, match=r"cat_left.png: its mask is too small"):
        guess(view("left"), query, TEMPLATES, DIRECTIONS, mask)


def guessed(direction: str, *rows: list[float]) -> Guess:
    """A query and its distances to front, back, left and right, one row a set."""
    sets = tuple(f"set{number}" for number in range(len(rows)))
    return Guess(view(direction), sets, DIRECTIONS, np.array(rows))


def test_most_sets_decide_even_where_the_mean_says_otherwise():
    found = guessed("left", [5, 5, 2, 3], [5, 5, 2, 3], [5, 5, 9, 1])
    assert found.direction == "left"
    assert found.among(("left", "right")) == "left"
    assert found.among(("front", "back")) == "front"  # all equal: the first


def test_of_directions_with_equal_votes_the_nearest_on_average_wins():
    assert guessed("left", [1, 9, 2, 9], [9, 9, 1, 1.5]).direction == "left"
    # right is the nearest on average, but no set has it nearest
    assert guessed("left", [1, 9, 8, 1.1], [9, 9, 1, 1.1]).direction == "left"


def test_shares_by_hand():
    result = PoseAwareness(
        "toy",
        "",
        (
            guessed("left", [9, 9, 1, 2]),  # right in every way
            guessed("left", [1, 9, 2, 3]),  # taken for the front, but rather left than right
            guessed("right", [9, 9, 1, 2]),  # wrong in every way
            guessed("front", [2, 3, 1, 9]),  # taken for left, but rather front than back
        ),
    )
    assert result.accuracy() == {
        "all": Share(1, 4),
        "left/right": Share(2, 3),
        "front/back": Share(1, 1),
        "either": Share(3, 4),
    }
    none = dict.fromkeys(DIRECTIONS, 0)
    assert result.confusion() == {
        "front": none | {"left": 1},
        "back": none,
        "left": none | {"left": 1, "front": 1},
        "right": none | {"left": 1},
    }


def test_opposites_that_templates_do_not_both_show_are_not_compared():
    found = Guess(view("left"), ("one",), ("front", "left"), np.array([[2.0, 1.0]]))
    shares = PoseAwareness("toy", "", (found,)).accuracy()
    assert shares["all"] == Share(1, 1)
    assert shares["left/right"] == shares["either"] == Share(0, 0)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)
    return path


def test_names_and_folders_tell_the_same(tmp_path: Path):
    named, sorted_ = tmp_path / "named", tmp_path / "sorted"
    for each in ("a/cat_black_LEFT.png", "a/cat_black_back.jpg", "unicorn.png", "cat_up.png"):
        picture(named / each)
    for each in ("a/Left/cat_black.png", "a/back/cat_black.jpg"):
        picture(sorted_ / each)
    views, others = read_views(named)
    assert [(each.set, each.direction) for each in views] == [
        ("a/cat_black", "left"),
        ("a/cat_black", "back"),
    ]
    assert sorted(path.name for path in others) == ["cat_up.png", "unicorn.png"]
    same, none = read_views(sorted_)
    assert [(each.set, each.direction) for each in same] == [
        (each.set, each.direction) for each in views
    ]
    assert not none


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a_left.png", "b_left.png"], "all templates show the left"),
        (["a_left.png", "a_right.png", "b_left.png"], "its set, b, has no template from the right"),
        (["a_left.png", "a_left.jpg", "a_right.png"], "two templates of one set, a"),
    ],
)
def test_sets_must_be_whole(tmp_path: Path, names: list[str], message: str):
    for name in names:
        picture(tmp_path / name)
    with pytest.raises(InputError, match=message):
        template_sets(read_views(tmp_path)[0])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(georun, ["pose-awareness", *(str(each) for each in arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`templates`: two sets in which each photograph stands for a direction. `queries`: a third."""
    root = tmp_path_factory.mktemp("views")
    for name, brightness in (("templates/a", 1.0), ("templates/b", 0.7), ("queries/c", 1.3)):
        for path, direction in zip(PHOTOGRAPHS, DIRECTIONS, strict=True):
            place = root / f"{name}_{direction}.png"
            place.parent.mkdir(exist_ok=True)
            image = Image.open(path).convert("RGB").resize((160, 120))
            ImageEnhance.Brightness(image).enhance(brightness).save(place)
    picture(root / "templates" / "antelope.png")
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def test_template_sets_are_tested_against_each_other(folder: Path, store: Path):
    done = run("--templates", folder / "templates", "--store", store, "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    [lite] = content["bundles"]
    assert lite["accuracy"]["all"] == {"correct": 8, "of": 8}
    assert lite["accuracy"]["left/right"] == {"correct": 4, "of": 4}
    assert lite["confusion"]["back"] == {"front": 0, "back": 2, "left": 0, "right": 0}
    assert [each["image"] for each in lite["queries"]][:2] == ["a_back.png", "a_front.png"]
    assert list(lite["queries"][0]["distances"]) == ["b"]  # not its own set
    assert content["distance"] == "mutual"
    assert "1 images skipped, of no direction that templates show: antelope.png" in done.stderr


def test_labelled_images_are_judged_by_all_sets_and_bundles_side_by_side(
    folder: Path, store: Path, tmp_path: Path
):
    queries = tmp_path / "queries"
    for path in (folder / "queries").iterdir():
        label = {"left": "right", "right": "left"}.get(path.stem[2:], path.stem[2:])  # mislabelled
        (queries / label).mkdir(parents=True, exist_ok=True)
        (queries / label / path.name).write_bytes(path.read_bytes())
    arguments = (queries, "--templates", folder / "templates", "--store", store)
    done = run(*arguments, "--bundle", "lite", "--bundle", "lite", "--json")
    assert done.exit_code == 0, done.output
    first, second = json.loads(done.stdout)["bundles"]
    assert first == second
    assert list(first["queries"][0]["distances"]) == ["a", "b"]
    assert first["accuracy"] == {
        "all": {"correct": 2, "of": 4},
        "either": {"correct": 2, "of": 4},
        "left/right": {"correct": 0, "of": 2},
        "front/back": {"correct": 2, "of": 2},
    }
    assert first["confusion"]["left"]["right"] == 1
    table = run(*arguments).stdout
    assert "50.0 (2/4)" in table
    assert "left/c_right.png" in table


def test_masks_say_which_part_of_a_query_counts(folder: Path, store: Path, tmp_path: Path):
    arguments = ["--templates", folder / "templates", "--store", store, "--json"]
    for path in (folder / "templates").glob("?_*.png"):
        mask = Image.new("L", (160, 120))
        mask.paste(255, (40, 30, 120, 90))
        mask.save(tmp_path / path.name)
    done = run(*arguments, "--masks", tmp_path)
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert content["distance"] == "mask"
    assert content["bundles"][0]["accuracy"]["all"] == {"correct": 8, "of": 8}
    plain = json.loads(run(*arguments).stdout)["bundles"][0]["queries"][0]["distances"]
    assert content["bundles"][0]["queries"][0]["distances"] != plain
    (tmp_path / "b_left.png").unlink()
    missing = run(*arguments, "--masks", tmp_path)
    assert missing.exit_code == 2
    assert "b_left.png: no such mask" in missing.stderr


def test_bad_input_is_one_line(folder: Path, store: Path, tmp_path: Path):
    alone, nameless = tmp_path / "alone", tmp_path / "nameless"
    broken = tmp_path / "broken"
    for direction in ("left", "right"):
        picture(alone / f"cat_{direction}.png")
        picture(broken / f"cat_{direction}.png")
    (broken / "dog_left.png").write_bytes(b"no image")
    picture(broken / "dog_right.png")
    picture(nameless / "unicorn.png")
    front = picture(tmp_path / "front" / "cat_front.png").parent
    for arguments, status, message in (
        (["--templates", "/nowhere"], 2, "/nowhere: no such folder"),
        (["--templates", nameless], 2, "no image's name ends in _front, _back, _left, _right"),
        (["--templates", alone], 2, "the only template set is its own"),
        (["--templates", broken], 1, "dog_left.png: is not an image"),
        (["/nowhere", "--templates", alone], 2, "/nowhere: no such folder"),
        ([front, "--templates", alone], 2, "no image shows one of the templates' left, right"),
        (["--templates", alone, "--bundle", "nope"], 2, "nope"),
        ([alone], 2, "--templates"),
    ):
        done = run(*arguments, "--store", store)
        assert (done.exit_code, done.stdout) == (status, "")
        [line] = [each for each in done.stderr.splitlines() if "error:" in each]
        assert message in line


def test_the_published_templates_are_three_cats(data: Path, store: Path):
    done = run("--templates", data / "pose-templates", "--store", store, "--json")
    content = json.loads(done.stdout)
    assert content["sets"] == ["cat_black", "cat_orange", "cat_white"]
    assert [Path(each).name for each in content["skipped"]] == ["antelope.jpg", "unicorn.jpg"]
    shares = content["bundles"][0]["accuracy"]
    assert (shares["all"]["of"], shares["either"]["of"]) == (12, 12)
    assert shares["front/back"]["correct"] == 6
