"""SPair-71k on real annotations, in order and broken by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pytest

from geoaware.runtime.datasets import Listing, Pair, read
from geoaware.runtime.datasets.keypoints import mirror_pairs
from geoaware.runtime.errors import GeoAwareError, InputError

NAME = "005016-2007_001825-2008_003519:cat"
PAIR = f"PairAnnotation/test/{NAME}.json"
SOURCE = "ImageAnnotation/cat/2007_001825.json"
TARGET = "ImageAnnotation/cat/2008_003519.json"
IMAGE = "JPEGImages/cat/2007_001825.jpg"
LIST = "Layout/large/test.txt"
OF_SOURCE = 8  # pairs of the 20 that have the image of SOURCE

Json = dict[str, Any]


@pytest.fixture(scope="session")
def mini(data: Path) -> Path:
    folder = data / "SPair-71k-mini"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


@pytest.fixture
def cats(mini: Path, tmp_path: Path) -> Path:
    """A copy of the 20 cat pairs, every ordered pair of five images."""
    root = tmp_path / "SPair-71k"
    lines = [line for line in (mini / LIST).read_text().split() if line.endswith(":cat")]
    files = [f"PairAnnotation/test/{line}.json" for line in lines]
    for kind in ("JPEGImages", "ImageAnnotation"):
        files += [str(path.relative_to(mini)) for path in (mini / kind / "cat").iterdir()]
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        copyfile(mini / name, root / name)
    (root / LIST).parent.mkdir(parents=True)
    (root / LIST).write_text("\n".join(lines) + "\n")
    return root


def change(path: Path, edit: Callable[[Json], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def first(root: Path) -> Pair:
    return read("spair", root, "test").pairs[0]


def assert_problem(listing: Listing, path: Path, what: str, skipped: int) -> None:
    [problem] = listing.problems
    assert problem.where == str(path)
    assert what in problem.what
    assert (len(listing.pairs), listing.skipped) == (20 - skipped, skipped)


def test_all_pairs_are_read_sorted_by_the_names_of_the_list(mini: Path):
    listing = read("spair", mini, "test")
    assert [pair.name for pair in listing.pairs] == sorted((mini / LIST).read_text().split())
    assert not listing.problems
    assert listing.skipped == 0
    categories = {pair.category for pair in listing.pairs}
    assert listing.mirror_pairs == {each: mirror_pairs("spair", each) for each in categories}


def test_mutual_keypoints_are_those_of_the_pair_file(mini: Path):
    for pair in read("spair", mini, "test").pairs:
        said = json.loads((mini / "PairAnnotation" / "test" / f"{pair.name}.json").read_text())
        assert [str(pair.ids[k]) for k in np.flatnonzero(pair.mutual)] == said["kps_ids"]
        np.testing.assert_array_equal(pair.source.points[pair.mutual], said["src_kps"])
        np.testing.assert_array_equal(pair.target.points[pair.mutual], said["trg_kps"])
        assert pair.target.box == tuple(said["trg_bndbox"])
        assert pair.target.size == tuple(said["trg_imsize"][:2])


def test_keypoints_of_one_image_only_come_from_its_own_file(mini: Path):
    pair = first(mini)
    assert (pair.name, pair.category, pair.ids) == (NAME, "cat", tuple(range(15)))
    assert pair.source.visible.tolist() == [True] * 11 + [False] * 2 + [True] * 2
    assert pair.target.visible.tolist() == [True] * 13 + [False] * 2
    np.testing.assert_array_equal(pair.source.points[13:], [[224, 261], [378, 178]])
    assert np.isnan(pair.target.points[13:]).all()
    assert pair.source.path == mini / IMAGE


def test_where_both_files_have_a_point_the_pair_files_holds(cats: Path):
    change(cats / PAIR, lambda said: said["src_kps"].__setitem__(0, [66.5, 84]))
    change(cats / SOURCE, lambda said: said["kps"].update({"1": None}))
    np.testing.assert_array_equal(first(cats).source.points[:2], [[66.5, 84], [133, 75]])


def test_difficulty_leaves_out_what_is_unknown(cats: Path):
    assert first(cats).difficulty == {"truncation": 0, "occlusion": 0, "azimuth": 4}
    known = {"viewpoint_variation": 2, "scale_variation": 1, "truncation": 3, "occlusion": 1}
    change(cats / PAIR, lambda said: said.update(known | {"mirror": 0}))
    assert first(cats).difficulty == {
        "viewpoint": 2, "scale": 1, "truncation": 3, "occlusion": 1, "mirror": 0, "azimuth": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [(0, 7, 1), (7, 0, 1), (2, 6, 4), (6, 1, 3), (3, 3, 0), (-1, 3, None), (3, None, None)],
)
def test_azimuth_is_the_shorter_way_round(
    cats: Path, source: int, target: int | None, expected: int | None
):
    change(cats / SOURCE, lambda said: said.update(azimuth_id=source))
    change(cats / TARGET, lambda said: said.update(azimuth_id=target))
    assert first(cats).difficulty.get("azimuth") == expected


def test_settings_and_splits_choose_the_list_and_the_folder(cats: Path):
    (cats / "Layout" / "small").mkdir()
    (cats / "Layout" / "small" / "trn.txt").write_text(f"{NAME}\r\n\r\n")
    (cats / "PairAnnotation" / "test").rename(cats / "PairAnnotation" / "trn")
    assert [pair.name for pair in read("spair", cats, "train", "small").pairs] == [NAME]


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda said: said.pop("trg_kps"), "trg_kps: Field required"),
        (lambda said: said.pop("mirror"), "mirror: Field required"),
        (lambda said: said["kps_ids"].pop(), "different lengths"),
        (lambda said: said["kps_ids"].__setitem__(0, "1"), "an id twice"),
        (lambda said: said["kps_ids"].__setitem__(0, "left eye"), "kps_ids.0"),
        (lambda said: said["src_kps"].__setitem__(3, [1, 2, 3]), "src_kps.3"),
        (lambda said: said["src_kps"].__setitem__(3, ["1", 2]), "src_kps.3.0"),
        (lambda said: said["src_kps"].__setitem__(3, None), "src_kps.3"),
        (lambda said: said["src_kps"].__setitem__(3, [float("nan"), 2]), "src_kps.3.0"),
        (lambda said: said["src_kps"].__setitem__(3, [501.5, 2]), "(501.5, 2) lies outside"),
        (lambda said: said["trg_kps"].__setitem__(3, [-9, 2]), "outside 2008_003519.jpg"),
        (lambda said: said.update(src_imsize=[375, 500, 3]), "375 x 500 pixels; it has 500 x 375"),
        (lambda said: said.update(src_imsize="large"), "src_imsize"),
        (lambda said: said.update(trg_bndbox=[10, 10, 10, 50]), "is empty"),
        (lambda said: said.update(category="dog"), "category dog"),
        (lambda said: said.update(trg_imname="2008_005386.jpg"), "2008_005386.jpg"),
    ],
)
def test_a_pair_file_that_is_wrong_costs_its_pair(
    cats: Path, edit: Callable[[Json], object], what: str
):
    change(cats / PAIR, edit)
    assert_problem(read("spair", cats, "test"), cats / PAIR, what, skipped=1)


@pytest.mark.parametrize("content", [b"", b'{"category": "ca', b"\xff\xfe\x00", b"[]", b"[" * 9999])
@pytest.mark.parametrize(("name", "skipped"), [(PAIR, 1), (SOURCE, OF_SOURCE)])
def test_damaged_files_are_noted_once(cats: Path, name: str, skipped: int, content: bytes):
    (cats / name).write_bytes(content)
    assert_problem(read("spair", cats, "test"), cats / name, "", skipped)


@pytest.mark.parametrize(
    ("name", "what", "skipped"),
    [
        (PAIR, "no such file", 1),
        (SOURCE, "no such file", OF_SOURCE),
        (IMAGE, "no such image", OF_SOURCE),
    ],
)
def test_missing_files_are_noted_once(cats: Path, name: str, what: str, skipped: int):
    (cats / name).unlink()
    assert_problem(read("spair", cats, "test"), cats / name, what, skipped)


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda said: said.pop("kps"), "kps: Field required"),
        (lambda said: said.update(kps=[]), "kps"),
        (lambda said: said["kps"].update({"0": 7}), "kps.0"),
        (lambda said: said["kps"].update({"nose": [1, 2]}), "kps.nose"),
        (lambda said: said["kps"].update({"13": [20, 400]}), "(20, 400) lies outside"),
        (lambda said: said.update(category="dog"), "category dog"),
        (lambda said: said.update(image_width=640), "640 x 375"),
        (lambda said: said.update(azimuth_id="left"), "azimuth_id"),
    ],
)
def test_an_image_annotation_that_is_wrong_is_noted_once(
    cats: Path, edit: Callable[[Json], object], what: str
):
    change(cats / SOURCE, edit)
    assert_problem(read("spair", cats, "test"), cats / SOURCE, what, OF_SOURCE)


def test_problems_are_one_line_whatever_the_file_says(cats: Path):
    change(cats / PAIR, lambda said: said.update(category="cat\n" * 10_000))
    [problem] = read("spair", cats, "test").problems
    assert len(problem.what) <= 300
    assert "\n" not in problem.what


def test_a_file_that_is_no_image_is_noted_once(cats: Path):
    (cats / IMAGE).write_text("not an image")
    assert_problem(read("spair", cats, "test"), cats / IMAGE, "no image", OF_SOURCE)


def test_points_up_to_a_pixel_beyond_the_border_are_moved_onto_it(cats: Path):
    change(cats / PAIR, lambda said: said["src_kps"].__setitem__(0, [501, -1]))
    assert first(cats).source.points[0].tolist() == [500, 0]


def test_a_pair_without_a_keypoint_in_both_images_is_left_out(cats: Path):
    change(cats / PAIR, lambda said: said.update(src_kps=[], trg_kps=[], kps_ids=[]))
    change(cats / SOURCE, lambda said: said.update(kps={"0": None}))
    listing = read("spair", cats, "test")
    assert [problem.what for problem in listing.problems] == [
        "no keypoint is visible in both images"
    ]
    assert listing.problems[0].where == NAME


@pytest.mark.parametrize(
    "line", ["gibberish", "005016-../x-2008_003519:cat", "005016-a-b:../../cat", "1-a-b:cat"]
)
def test_lines_that_name_no_pair_are_noted_with_their_number(cats: Path, line: str):
    with (cats / LIST).open("a") as file:
        file.write(f"{line}\n")
    listing = read("spair", cats, "test")
    [problem] = listing.problems
    assert problem.where == f"{cats / LIST}, line 21"
    assert line in problem.what
    assert (len(listing.pairs), listing.skipped) == (20, 1)


def test_a_pair_listed_twice_is_read_once(cats: Path):
    with (cats / LIST).open("a") as file:
        file.write(f"{NAME}\n")
    listing = read("spair", cats, "test")
    assert [problem.where for problem in listing.problems] == [NAME]
    assert (len(listing.pairs), listing.skipped) == (20, 1)


@pytest.mark.parametrize(
    "part", [LIST, "PairAnnotation/test", "PairAnnotation", "ImageAnnotation", "JPEGImages"]
)
def test_a_half_unpacked_dataset_is_refused_in_one_line(cats: Path, part: str):
    (cats / part).rename(cats / "elsewhere")
    with pytest.raises(InputError, match="no such file or folder") as caught:
        read("spair", cats, "test")
    message = str(caught.value)
    assert str(cats / part) in message
    assert "ImageAnnotation/<category>" in message
    assert "https://cvlab.postech.ac.kr" in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_list_without_pairs_is_refused(cats: Path, content: bytes):
    (cats / LIST).write_bytes(content)
    with pytest.raises(InputError, match=r"test\.txt: lists no pair"):
        read("spair", cats, "test")


def test_a_damaged_list_is_refused(cats: Path):
    (cats / LIST).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GeoAwareError, match=r"test\.txt: is damaged"):
        read("spair", cats, "test")
