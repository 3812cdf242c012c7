"""PF-Pascal: a small set of the official layout, in order and broken."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoaware.runtime.datasets import Listing, read
from geoaware.runtime.errors import GeoAwareError, InputError

scipy_io = pytest.importorskip("scipy.io")

NAN = float("nan")
KEYPOINTS = {
    "2008_000001": [[10, 20], [NAN, NAN], [30, 40], [NAN, NAN]],
    "2008_000002": [[11, 21], [50, 60], [NAN, NAN], [NAN, NAN]],
    "2008_000003": [[12, 22], [51, 61], [31, 41], [NAN, NAN]],
}
A, B, C = (f"PF-dataset-PASCAL/JPEGImages/{stem}.jpg" for stem in KEYPOINTS)
HEADER = "source_image,target_image,class,XA,YA,XB,YB"
TEST = "PF-dataset-PASCAL/test_pairs_pf_pascal.csv"
TRAIN = "PF-dataset-PASCAL/train_pairs_pf_pascal.csv"
MAT = "PF-dataset-PASCAL/Annotations/bus/2008_000001.mat"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three photographs of buses, 200 x 150 pixels, with their keypoints; no lists."""
    folder = tmp_path / "PF-dataset-PASCAL"
    (folder / "JPEGImages").mkdir(parents=True)
    (folder / "Annotations" / "bus").mkdir(parents=True)
    for stem, points in KEYPOINTS.items():
        Image.new("RGB", (200, 150)).save(folder / "JPEGImages" / f"{stem}.jpg")
        scipy_io.savemat(folder / "Annotations" / "bus" / f"{stem}.mat", {"kps": np.array(points)})
    return tmp_path


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines) + "\n")


def read_test(root: Path, *lines: str) -> Listing:
    write(root / TEST, HEADER, *lines)
    return read("pf-pascal", root, "test")


def read_train(root: Path, *lines: str) -> Listing:
    write(root / TRAIN, "source_image,target_image,class,flip", *lines)
    return read("pf-pascal", root, "train")


GOOD = f"{A},{B},6,1.5;2;3,4;5;6,7;8;9,10;11;12.25"


def test_a_row_of_a_list_is_a_pair(root: Path):
    listing = read_test(root, GOOD)
    [pair] = listing.pairs
    assert not listing.problems
    assert (pair.name, pair.category, pair.ids) == (
        "bus/2008_000001-2008_000002", "bus", (0, 1, 2),
    )  # fmt: skip
    np.testing.assert_array_equal(pair.source.points, [[1.5, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(pair.target.points, [[7, 10], [8, 11], [9, 12.25]])
    assert (pair.source.path, pair.source.size) == (root / A, (200, 150))
    assert pair.mutual.all()


@pytest.mark.parametrize("folder", ["PF-dataset-PASCAL", "."])
@pytest.mark.parametrize("header", ["\ufeffim_a,im_b,category,x1,y1,x2,y2,extra", HEADER, None])
def test_lists_lie_in_either_folder_and_name_columns_as_they_like(
    root: Path, folder: str, header: str | None
):
    lines = [GOOD, "", f"{B},{C},1,1;,2;,3;,4;"]
    write(root / folder / "val_pairs_pf_pascal.csv", *[header] * bool(header), *lines)
    names = [pair.name for pair in read("pf-pascal", root, "val").pairs]
    assert names == ["aeroplane/2008_000002-2008_000003", "bus/2008_000001-2008_000002"]


def test_a_list_needs_no_annotations_where_it_has_the_points(root: Path):
    (root / "PF-dataset-PASCAL" / "Annotations").rename(root / "elsewhere")
    assert len(read_test(root, GOOD).pairs) == 1


def test_classes_are_in_the_order_of_pascal_voc(root: Path):
    listing = read_test(root, *(f"{A},{B},{n},1,1,2,2" for n in (1, 11, 20)))
    assert {pair.category for pair in listing.pairs} == {"aeroplane", "diningtable", "tvmonitor"}


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (f"{A},{B}", "has 2 columns"),
        (f"{A},{B},6,1;2,1;2,3;4", "has 6 columns"),
        (f"{A},{B},bus,1,1,2,2", "class 'bus' is not 1 to 20"),
        (f"{A},{B},0,1,1,2,2", "class '0'"),
        (f"{A},{B},21,1,1,2,2", "class '21'"),
        (f"{A},{B},6,1;2,1;2,3;4,3", "different lengths"),
        (f"{A},{B},6,1;x,1;2,3;4,3;4", "'1;x' is not numbers"),
        (f"{A},{B},6,1;;2,1;2,3;4,3;4", "'1;;2' is not numbers"),
        (f"{A},{B},6,nan,1,2,2", "'nan' is not numbers"),
        (f"{A},{B},6,,,,", "'' is not numbers"),
        (f"{A},{B},6,200,151.5,2,2", "(200, 151.5) lies outside 2008_000001.jpg"),
        (f"{A},{B},6,1,1,-2,2", "lies outside 2008_000002.jpg"),
        (f"../{A},{B},6,1,1,2,2", "not the path of an image in"),
        (f"{A},PF-dataset-PASCAL/../../b.jpg,6,1,1,2,2", "not the path of an image in"),
        (f"/etc/a.jpg,{B},6,1,1,2,2", "not the path of an image in"),
        (f"{A},..\\b.jpg,6,1,1,2,2", "not the path of an image in"),
        (f"C:\\a.jpg,{B},6,1,1,2,2", "not the path of an image in"),
        (f",{B},6,1,1,2,2", "not the path of an image in"),
        (f"{A},{B},6,2", "flip '2' is neither 0 nor 1"),
    ],
)
def test_a_row_that_is_wrong_costs_its_pair(root: Path, row: str, what: str):
    listing = read_test(root, GOOD, row)
    [problem] = listing.problems
    assert problem.where == f"{root / TEST}, line 3"
    assert what in problem.what
    assert (len(listing.pairs), listing.skipped) == (1, 1)


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_an_image_that_is_missing_or_none_is_noted_once(root: Path, content: bytes | None):
    (root / A).unlink()
    if content is not None:
        (root / A).write_bytes(content)
    listing = read_test(root, *(f"{a},{b},6,1,1,2,2" for a, b in ((A, B), (A, C), (C, A), (B, C))))
    assert [problem.where for problem in listing.problems] == [str(root / A)]
    assert (len(listing.pairs), listing.skipped) == (1, 3)


def test_a_pair_listed_twice_is_read_once(root: Path):
    listing = read_test(root, GOOD, GOOD)
    assert [problem.what for problem in listing.problems] == ["is listed more than once"]
    assert (len(listing.pairs), listing.skipped) == (1, 1)


def test_points_belong_to_the_image_as_it_is_loaded_upright(root: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (200, 150)).save(root / A, exif=exif)
    [pair] = read_test(root, f"{A},{B},6,100,199,2,2").pairs
    assert pair.source.size == (150, 200)


def test_the_training_list_takes_its_points_from_the_annotations(root: Path):
    listing = read_train(root, f"{A},{B},6,0", f"{A},{C},6,0")
    assert not listing.problems
    first, second = listing.pairs
    assert (first.ids, second.ids) == ((0, 1, 2), (0, 1, 2))
    np.testing.assert_array_equal(first.source.points, [[10, 20], [NAN, NAN], [30, 40]])
    np.testing.assert_array_equal(first.target.points, [[11, 21], [50, 60], [NAN, NAN]])
    assert first.mutual.tolist() == [True, False, False]
    assert second.mutual.tolist() == [True, False, True]


def test_a_keypoint_with_one_coordinate_is_not_visible(root: Path):
    scipy_io.savemat(root / MAT, {"kps": [[10, 20], [NAN, 7], [30, 40], [NAN, NAN]]})
    [pair] = read_train(root, f"{A},{B},6,0").pairs
    assert not pair.source.visible[1]
    assert np.isnan(pair.source.points[1]).all()


def test_mirrored_rows_of_the_training_list_are_left_to_the_training(root: Path):
    listing = read_train(root, f"{A},{B},6,0", f"{A},{B},6,1", f"{C},{B},6,1")
    assert len(listing.pairs) == 1
    assert (listing.problems, listing.skipped) == ((), 0)


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({"kps": np.ones((2, 4))}, "is 2 x 4, not K x 2"),
        ({"kps": [[1, np.inf], [3, 4]]}, "infinite"),
        ({"kps": [[500, 3], [3, 4]]}, "(500, 3) lies outside"),
        ({"kps": "text"}, "no matrix of numbers 'kps'"),
        ({"points": np.ones((4, 2))}, "no matrix of numbers 'kps'"),
    ],
)
def test_an_annotation_that_is_wrong_is_noted_once(root: Path, table: dict[str, object], what: str):
    scipy_io.savemat(root / MAT, table)
    listing = read_train(root, f"{A},{B},6,0", f"{C},{A},6,0", f"{B},{C},6,0")
    [problem] = listing.problems
    assert problem.where == str(root / MAT)
    assert what in problem.what
    assert (len(listing.pairs), listing.skipped) == (1, 2)


@pytest.mark.parametrize("kept", [0, 60, 150])
def test_a_truncated_annotation_is_noted_once(root: Path, kept: int):
    (root / MAT).write_bytes((root / MAT).read_bytes()[:kept])
    listing = read_train(root, f"{A},{B},6,0", f"{C},{A},6,0")
    assert [problem.where for problem in listing.problems] == [str(root / MAT)]
    assert listing.skipped == 2


def test_a_pair_of_another_category_than_its_annotations_is_noted(root: Path):
    listing = read_train(root, f"{A},{B},7,0")
    assert [Path(problem.where).parent.name for problem in listing.problems] == ["car", "car"]
    assert {problem.what for problem in listing.problems} == {"no such file"}
    assert listing.skipped == 1


def test_images_with_different_numbers_of_keypoints_make_no_pair(root: Path):
    scipy_io.savemat(root / MAT, {"kps": np.ones((3, 2))})
    listing = read_train(root, f"{A},{B},6,0")
    assert [problem.what for problem in listing.problems] == ["its images have 3 and 4 keypoints"]
    assert listing.skipped == 1


def test_a_pair_without_a_keypoint_in_both_images_is_left_out(root: Path):
    scipy_io.savemat(root / MAT, {"kps": [[NAN, NAN], [NAN, 7], [1, 2], [3, 4]]})
    listing = read_train(root, f"{A},{B},6,0")
    assert [problem.what for problem in listing.problems] == [
        "no keypoint is visible in both images"
    ]


@pytest.mark.parametrize(
    ("split", "part"),
    [
        ("test", "PF-dataset-PASCAL/JPEGImages"),
        ("train", "PF-dataset-PASCAL/Annotations"),
        ("test", TEST),
        ("train", "PF-dataset-PASCAL"),
    ],
)
def test_a_half_unpacked_dataset_is_refused_in_one_line(root: Path, split: str, part: str):
    write(root / TEST, HEADER, GOOD)
    write(root / TRAIN, "a,b,c,flip", f"{A},{B},6,0")
    (root / part).rename(root / "elsewhere")
    with pytest.raises(InputError, match="no such file") as caught:
        read("pf-pascal", root, split)
    message = str(caught.value)
    assert message.startswith(str(root / part))
    assert "{train,val,test}_pairs_pf_pascal.csv" in message
    assert "https://www.di.ens.fr/willow" in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", HEADER.encode(), b"\n\n"])
def test_a_list_without_pairs_is_refused(root: Path, content: bytes):
    (root / TEST).write_bytes(content)
    with pytest.raises(InputError, match=r"test_pairs_pf_pascal\.csv: lists no pair"):
        read("pf-pascal", root, "test")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'"' + b"x" * 200_000])
def test_a_damaged_list_is_refused(root: Path, content: bytes):
    (root / TEST).write_bytes(content)
    with pytest.raises(GeoAwareError, match=r"test_pairs_pf_pascal\.csv: is damaged"):
        read("pf-pascal", root, "test")


def test_scipy_is_needed_for_the_annotations_only(root: Path, monkeypatch: pytest.MonkeyPatch):
    write(root / TRAIN, f"{A},{B},6,0")
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert len(read_test(root, GOOD).pairs) == 1
    with pytest.raises(
        GeoAwareError, match=r'PF-Pascal needs scipy: pip install "geoaware\[eval]"'
    ):
        read("pf-pascal", root, "train")
