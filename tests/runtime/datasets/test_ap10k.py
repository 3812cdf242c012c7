"""AP-10K: which pairs the benchmark is made of, and what is read of them."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from PIL import Image

from geoaware.runtime.datasets import DATASETS, ap10k, read
from geoaware.runtime.datasets.ap10k_benchmark import build
from geoaware.runtime.datasets.keypoints import mirror_pairs
from geoaware.runtime.errors import GeoAwareError, InputError

Json = dict[str, Any]

SPLITS = ("train", "val", "test")
FAMILIES = {"cat": "Felidae", "lion": "Felidae", "tiger": "Felidae", "dog": "Canidae"}
IMAGES = {"cat": 160, "lion": 52, "tiger": 35, "dog": 34}
# in train, val and test: cat 110, 20, 30; lion 2, 20, 30; tiger 0, 5, 30; dog 0, 4, 30
PAIRS = {
    "intra-species-train": 50 * 110 + 1,  # cats: 110 * 109 / 2 = 5995, capped
    "intra-species-val": 190 + 190 + 10 + 6,
    "intra-species-test": 4 * 435,
    "cross-species-val": 400,  # of 20 * 20 + 20 * 5 + 20 * 5 = 600 cats, lions, tigers
    "cross-species-test": 900,  # of 3 * 30 * 30; dogs are the one species of their family
    "cross-family-val": 20,  # of 45 * 4
    "cross-family-test": 30,  # of 90 * 30
}


def annotated(number: int, species: str, visible: list[int] | None = None, **more: Any) -> Json:
    """An image and its annotation; `visible` are the visibilities of the 17 keypoints."""
    marks = visible or [2] * 17
    keypoints = [n for i, v in enumerate(marks) for n in ((10 + i, 20 + i, v) if v else (0, 0, 0))]
    return {
        "image": {"id": number, "file_name": f"{number:04}.jpg", "width": 64, "height": 48},
        "annotation": {
            "id": number, "image_id": number, "category_id": list(FAMILIES).index(species),
            "bbox": [1, 2, 30, 40], "keypoints": keypoints, "iscrowd": 0, **more,
        },
    }  # fmt: skip


def write(path: Path, entries: list[Json], order: random.Random | None = None) -> None:
    content: dict[str, list[Json]] = {
        "images": list({each["image"]["id"]: each["image"] for each in entries}.values()),
        "annotations": [each["annotation"] for each in entries],
        "categories": [
            {"id": number, "name": name, "supercategory": family}
            for number, (name, family) in enumerate(FAMILIES.items())
        ],
    }
    for each in content.values() if order else ():
        order.shuffle(each)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def zoo() -> list[Json]:
    """A dataset whose pairs can be counted by hand, and images that are in no pair."""
    species = [name for name, count in IMAGES.items() for _ in range(count)]
    random.Random(0).shuffle(species)
    entries = [annotated(number, name) for number, name in enumerate(species)]
    entries += [annotated(900 + n, "cat", [2, 2] + [0] * 15) for n in range(9)]
    entries += [annotated(910 + n, "dog", iscrowd=1) for n in range(9)]
    entries += [annotated(920 + n // 2, "lion", id=950 + n) for n in range(18)]
    return entries


def official(root: Path, entries: list[Json], seed: int) -> Path:
    """Entries in the files of the official layout, divided and ordered by chance."""
    order = random.Random(seed)
    divided: dict[str, list[Json]] = {split: [] for split in SPLITS}
    for entry in entries:
        divided[SPLITS[hash((entry["image"]["id"], seed)) % 3]].append(entry)
    for split, part in divided.items():
        order.shuffle(part)
        write(root / "annotations" / f"ap10k-{split}-split1.json", part, order)
    return root


def few(root: Path, *entries: Json) -> Path:
    """A small dataset, images and all, as a flat folder with its lists built."""
    write(root / "few.json", list(entries))
    for entry in entries:
        Image.new("RGB", (64, 48)).save(root / entry["image"]["file_name"])
    build(root)
    return root


def lists(root: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in (root / "correspondence").iterdir()}


def rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(content.decode().splitlines()))[1:]


@pytest.fixture
def mini(data: Path, tmp_path: Path) -> Path:
    if not (data / "AP-10K-mini").is_dir():
        pytest.skip("AP-10K-mini is not there")
    root = tmp_path / "AP-10K"
    copytree(data / "AP-10K-mini", root)
    build(root)
    return root


def test_the_lists_have_as_many_pairs_as_counted_by_hand(tmp_path: Path):
    build(official(tmp_path, zoo(), 0))
    assert {name: len(rows(content)) for name, content in lists(tmp_path).items()} == PAIRS


def test_the_lists_are_the_same_whatever_the_order_of_the_annotations(tmp_path: Path):
    for seed in (1, 2):
        build(official(tmp_path / str(seed), zoo(), seed))
    assert lists(tmp_path / "1") == lists(tmp_path / "2")


def test_the_draw_is_the_same_on_every_machine(tmp_path: Path):
    build(official(tmp_path, [annotated(n, ("cat", "dog")[n % 2]) for n in range(60)], 0))
    drawn = [(a[2:4], b[2:4]) for a, b, _ in rows(lists(tmp_path)["cross-family-test"])]
    assert drawn == sorted(drawn)
    # the 30 of 900 pairs with the lowest numbers of random.Random("42/cross-family/test/…")
    assert (*drawn[:3], drawn[-1]) == (("00", "33"), ("01", "04"), ("01", "36"), ("46", "49"))


def test_the_last_images_of_a_species_are_tested(tmp_path: Path):
    entries = zoo()
    build(official(tmp_path, entries, 0))
    cats = [
        each["image"]["file_name"]
        for each in entries
        if each["annotation"]["category_id"] == 0 and each["image"]["id"] < 900
    ]
    expected = dict(zip(SPLITS, (cats[:110], cats[110:130], cats[130:]), strict=True))
    for split, images in expected.items():
        pairs = rows(lists(tmp_path)[f"intra-species-{split}"])
        assert {name for a, b, kind in pairs if kind == "cat" for name in (a, b)} == set(images)


def test_a_species_of_few_images_is_tested_first_then_validates(tmp_path: Path):
    build(official(tmp_path, [annotated(n, "cat") for n in range(33)], 0))
    counts = {name: len(rows(content)) for name, content in lists(tmp_path).items()}
    assert counts["intra-species-test"] == 435
    assert counts["intra-species-val"] == 3
    assert counts["intra-species-train"] == 0


def test_a_pair_is_of_two_species_and_families_as_its_setting_says(tmp_path: Path):
    entries = zoo()
    build(official(tmp_path, entries, 0))
    names = list(FAMILIES)
    species = {
        each["image"]["file_name"]: names[each["annotation"]["category_id"]] for each in entries
    }
    for name, content in lists(tmp_path).items():
        for source, target, category in rows(content):
            a, b = species[source], species[target]
            assert int(source[:4]) < int(target[:4])
            if name.startswith("intra"):
                assert a == b == category
            elif name.startswith("cross-species"):
                assert a != b
                assert FAMILIES[a] == FAMILIES[b] == category
            else:
                assert FAMILIES[a] != FAMILIES[b]
                assert category == "all"


@pytest.mark.parametrize(
    ("a", "b", "pairs"),
    [
        ([2, 2, 2, 0], [2, 2, 2, 0], 1),
        ([2, 2, 2, 0], [2, 2, 1, 0], 0),  # 1 + 1 + 1/2
        ([2, 2, 2, 1], [2, 2, 1, 1], 0),  # 1 + 1 + 1/2 + 1/4
        ([2, 2, 2, 2], [2, 2, 1, 1], 1),  # 1 + 1 + 1/2 + 1/2
        ([2, 2, 2, 0], [0, 2, 2, 2], 0),
    ],
)
def test_a_pair_needs_three_keypoints_in_common(
    tmp_path: Path, a: list[int], b: list[int], pairs: int
):
    few(tmp_path, annotated(1, "cat", a + [0] * 13), annotated(2, "cat", b + [0] * 13))
    assert len(rows(lists(tmp_path)["intra-species-test"])) == pairs


def test_an_image_in_two_files_is_taken_once(tmp_path: Path):
    entries = [annotated(n, "cat") for n in range(3)]
    (tmp_path / "._a.json").write_text("what macOS adds")
    write(tmp_path / "a.json", entries[:2])
    write(tmp_path / "b.json", entries[1:])
    build(tmp_path)
    assert len(rows(lists(tmp_path)["intra-species-test"])) == 3


def test_split_1_is_used_alone_where_it_is_there(tmp_path: Path):
    official(tmp_path, [annotated(n, "cat") for n in range(3)], 0)
    write(tmp_path / "annotations/ap10k-test-split2.json", [annotated(9, "cat")])
    build(tmp_path)
    assert len(rows(lists(tmp_path)["intra-species-test"])) == 3


def test_a_part_of_split_1_is_not_enough(tmp_path: Path):
    official(tmp_path, zoo(), 0)
    (tmp_path / "annotations/ap10k-val-split1.json").unlink()
    with pytest.raises(InputError, match=r"ap10k-val-split1\.json: no such file; AP-10K is a fol"):
        build(tmp_path)
    assert not (tmp_path / "correspondence").exists()


def test_lists_that_are_the_same_already_are_not_touched(tmp_path: Path):
    build(official(tmp_path, zoo(), 0))
    files = sorted((tmp_path / "correspondence").iterdir())
    before = [path.stat().st_mtime_ns for path in files]
    files[0].write_text("source,target,category\n")
    build(tmp_path)
    after = [path.stat().st_mtime_ns for path in files]
    assert after[1:] == before[1:]
    assert len(rows(files[0].read_bytes())) == PAIRS[files[0].stem]


def test_the_real_animals_are_read_as_annotated(mini: Path):
    listing = read("ap10k", mini, "test", "cross-family")
    [pair] = listing.pairs
    assert listing.mirror_pairs == {"all": mirror_pairs("ap10k", "all")}
    assert pair.name == "000000000004-000000037516"
    assert pair.category == "all"
    assert pair.difficulty == {}
    assert pair.ids == (0, *range(2, 17))  # the right eye is visible in neither
    assert pair.source.path == mini / "000000000004.jpg"
    assert (pair.source.size, pair.target.size) == ((1024, 683), (1200, 867))
    assert pair.target.box == (66, 192, 66 + 1092, 192 + 512)
    np.testing.assert_array_equal(pair.source.points[:2], [[488, 443], [466, 499]])
    np.testing.assert_array_equal(pair.target.points[-1], [636, 602])
    assert pair.mutual.all()


@pytest.mark.parametrize(("setting", "splits"), DATASETS["ap10k"].splits.items())
def test_every_list_can_be_read(mini: Path, setting: str, splits: tuple[str, ...]):
    for split in splits:
        assert read("ap10k", mini, split, setting).problems == ()


def test_keypoints_visible_in_either_image_are_there_and_others_are_not(tmp_path: Path):
    a, b = [2, 2, 2, 2, 0, 1, 0], [2, 2, 2, 0, 1, 0, 0]
    few(tmp_path, annotated(1, "cat", a + [0] * 10), annotated(2, "cat", b + [0] * 10))
    [pair] = read("ap10k", tmp_path, "test").pairs
    assert pair.ids == (0, 1, 2, 3, 4, 5)
    assert pair.source.visible.tolist() == [True, True, True, True, False, True]
    assert pair.target.visible.tolist() == [True, True, True, False, True, False]
    np.testing.assert_array_equal(pair.source.points[3:], [[13, 23], [np.nan] * 2, [15, 25]])
    assert pair.category == "cat"


def test_images_lie_in_the_folder_data_where_there_is_one(tmp_path: Path):
    official(tmp_path, [annotated(n, "cat") for n in range(2)], 0)
    build(tmp_path)
    (tmp_path / "data").mkdir()
    for number in range(2):
        Image.new("RGB", (64, 48)).save(tmp_path / "data" / f"{number:04}.jpg")
    [pair] = read("ap10k", tmp_path, "test").pairs
    assert pair.source.path == tmp_path / "data" / "0000.jpg"


def test_a_setting_without_the_split_says_so(mini: Path):
    with pytest.raises(InputError, match="no split 'train' in setting cross-family; it has val"):
        read("ap10k", mini, "train", "cross-family")


def test_a_missing_list_says_how_to_build_it(data: Path):
    with pytest.raises(InputError, match="no such file; run: georun data prepare ap10k --root "):
        read("ap10k", data / "AP-10K-mini", "test")


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n", b"source,target,category\nx,y\n", b"\xff\xfe", b'source,"']
)
def test_a_damaged_list_says_how_to_build_it(tmp_path: Path, content: bytes):
    few(tmp_path, annotated(1, "cat"))
    path = ap10k.pair_list(tmp_path, "intra-species", "test")
    path.write_bytes(content)
    with pytest.raises(GeoAwareError, match="is no list of source, target, category; remove it"):
        read("ap10k", tmp_path, "test")


def test_an_image_that_is_not_in_order_costs_its_pairs_and_is_told_once(tmp_path: Path):
    few(tmp_path, *(annotated(n, "cat") for n in range(6)))
    (tmp_path / "0001.jpg").unlink()
    (tmp_path / "0002.jpg").write_text("no image")
    Image.new("RGB", (48, 64)).save(tmp_path / "0003.jpg")
    found = read("ap10k", tmp_path, "test")
    assert [pair.name for pair in found.pairs] == ["0000-0004", "0000-0005", "0004-0005"]
    assert found.skipped == 15 - 3
    told = Counter(Path(problem.where).name for problem in found.problems)
    assert told == {"0001.jpg": 1, "0002.jpg": 1, "few.json": 1}
    assert "64 x 48 pixels; it has 48 x 64" in str(found.problems)


def test_a_keypoint_outside_and_an_empty_box_are_problems(tmp_path: Path):
    entries = [annotated(n, "cat") for n in range(4)]
    entries[1]["annotation"]["keypoints"][3] = 66
    entries[2]["annotation"]["bbox"] = [5, 5, 0, 9]
    found = read("ap10k", few(tmp_path, *entries), "test")
    assert [pair.name for pair in found.pairs] == ["0000-0003"]
    told = [problem.what for problem in found.problems]
    assert "keypoint (66, 21) lies outside 0001.jpg, 64 x 48 pixels" in told
    assert any("the box (5.0, 5.0, 5.0, 14.0) of 0002.jpg is empty" in what for what in told)


def test_a_list_can_name_annotated_images_only(tmp_path: Path):
    few(tmp_path, annotated(1, "cat"), annotated(2, "cat"))
    path = ap10k.pair_list(tmp_path, "intra-species", "test")
    path.write_text(path.read_text() + "../few.json,/etc/passwd,cat\n0001.jpg,0009.jpg,cat\n")
    found = read("ap10k", tmp_path, "test")
    assert (len(found.pairs), found.skipped) == (1, 2)
    assert [(problem.where, problem.what) for problem in found.problems] == [
        (f"{path}, line 3", "'../few.json' is no annotated image of one animal"),
        (f"{path}, line 3", "'/etc/passwd' is no annotated image of one animal"),
        (f"{path}, line 4", "'0009.jpg' is no annotated image of one animal"),
    ]


@pytest.mark.parametrize("name", ["../0001.jpg", "/etc/passwd", "..", "", "a\\b.jpg", "C:b.jpg"])
def test_an_annotation_cannot_name_a_file_elsewhere(tmp_path: Path, name: str):
    entry = annotated(1, "cat")
    entry["image"]["file_name"] = name
    write(tmp_path / "few.json", [entry])
    with pytest.raises(GeoAwareError, match="is not the plain name of a file"):
        build(tmp_path)


BROKEN = {
    "cut": (lambda text: text[: len(text) // 2], "Invalid JSON: EOF while parsing"),
    "empty": (lambda _: "", "Invalid JSON"),
    "another file": (lambda _: '{"images": []}', "annotations: Field required"),
    "a list": (lambda _: "[]", "should be an object"),
    "half a keypoint": (lambda text: text.replace("[10, 20, 2, ", "[20, 2, ", 1), "17 times x, y"),
    "visibility": (lambda text: text.replace("[10, 20, 2, ", "[10, 20, 3, ", 1), "of 0, 1 or 2"),
    "infinite": (lambda text: text.replace("[10, 20", "[1e999, 20", 1), "finite number"),
    "no box": (lambda text: text.replace('"bbox"', '"box"', 1), "bbox: Field required"),
    "words": (lambda text: text.replace('"width": 64', '"width": "64"', 1), "0.width: "),
    "no width": (lambda text: text.replace('"width": 64', '"width": 0', 1), "greater than 0"),
    "no category": (lambda text: text.replace('"category_id": 0', '"category_id": 9', 1), "ory 9"),
    "one name twice": (lambda text: text.replace("0002.jpg", "0001.jpg"), "are both 0001.jpg"),
    "contradiction": (
        lambda text: text.replace('"images": [', '"images": [{"id": 1, "file_name": "x.jpg",'
                                  '"width": 9, "height": 9}, '),
        "image 1 is another one than image 1 before it",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("edit", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_damaged_annotation_file_is_named(tmp_path: Path, edit: Any, message: str):
    few(tmp_path, annotated(1, "cat"), annotated(2, "cat"))
    before = lists(tmp_path)
    path = tmp_path / "few.json"
    path.write_text(edit(path.read_text()))
    for reading in (lambda: read("ap10k", tmp_path, "test"), lambda: build(tmp_path)):
        with pytest.raises(GeoAwareError) as caught:
            reading()
        assert str(caught.value).startswith(f"{path}: ")
        assert message in str(caught.value)
    assert lists(tmp_path) == before


def test_a_folder_without_annotations_says_what_belongs_there(tmp_path: Path):
    with pytest.raises(InputError, match="holds no annotations; AP-10K is a folder with annot"):
        build(tmp_path)
