"""PF-Willow on real annotations, in order and broken by hand."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest

from geoaware.runtime.datasets import read
from geoaware.runtime.errors import GeoAwareError, InputError

scipy_io = pytest.importorskip("scipy.io")

SUBSET = "car(G)"


@pytest.fixture(scope="session")
def willow(data: Path) -> Path:
    folder = data / "PF-WILLOW"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


@pytest.fixture
def cars(willow: Path, tmp_path: Path) -> Path:
    """A copy of four images of one subset: 12 pairs, each image in 6 of them."""
    folder = tmp_path / "PF-dataset" / SUBSET
    folder.mkdir(parents=True)
    for picture in sorted((willow / "PF-dataset" / SUBSET).glob("*.png"))[:4]:
        for name in (picture.name, f"{picture.stem}.mat"):
            copyfile(picture.with_name(name), folder / name)
    return tmp_path


def annotation(root: Path) -> Path:
    """The first image's."""
    return min((root / "PF-dataset" / SUBSET).glob("*.mat"))


def assert_problem(root: Path, path: Path, what: str) -> None:
    listing = read("pf-willow", root, "test")
    [problem] = listing.problems
    assert problem.where == str(path)
    assert what in problem.what
    assert (len(listing.pairs), listing.skipped) == (6, 6)


def test_every_ordered_pair_within_a_subset_is_read(willow: Path):
    listing = read("pf-willow", willow, "test")
    assert (len(listing.pairs), listing.problems, listing.skipped) == (900, (), 0)
    assert listing.mirror_pairs == {}
    assert set(Counter(pair.category for pair in listing.pairs).values()) == {90}
    assert len({pair.name for pair in listing.pairs}) == 900
    assert {pair.ids for pair in listing.pairs} == {tuple(range(10))}


def test_points_are_columns_of_the_matlab_file(willow: Path):
    pair = read("pf-willow", willow, "test").pairs[0]
    assert (pair.name, pair.category) == ("car(G)/Cars_006a-Cars_007a", "car(G)")
    for side, stem in ((pair.source, "Cars_006a"), (pair.target, "Cars_007a")):
        table = scipy_io.loadmat(willow / "PF-dataset" / SUBSET / f"{stem}.mat")["pts_coord"]
        np.testing.assert_array_equal(side.points, table.T)
        assert side.path == willow / "PF-dataset" / SUBSET / f"{stem}.png"
        assert side.box is None


def test_fewer_images_are_no_problem(cars: Path):
    listing = read("pf-willow", cars, "test")
    assert (len(listing.pairs), listing.problems, listing.skipped) == (12, (), 0)


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({"pts_coord": np.ones((10, 2))}, "is not 2 x 10"),
        ({"pts_coord": np.full((2, 10), np.nan)}, "is not 2 x 10"),
        ({"pts_coord": np.full((2, 10), np.inf)}, "infinite"),
        ({"pts_coord": np.full((2, 10), 999.0)}, "(999, 999) lies outside"),
        ({"pts_coord": "text"}, "no matrix of numbers"),
        ({"pts_coord": {"x": 1}}, "no matrix of numbers"),
        ({"pts_coord": np.ones((2, 10)) * 1j}, "no matrix of numbers"),
        ({"other": np.ones((2, 10))}, "no matrix of numbers 'pts_coord'"),
    ],
)
def test_tables_that_are_wrong_are_noted_once(cars: Path, table: dict[str, object], what: str):
    scipy_io.savemat(annotation(cars), table)
    assert_problem(cars, annotation(cars), what)


@pytest.mark.parametrize("kept", [0, 50, 200])
def test_truncated_tables_are_noted_once(cars: Path, kept: int):
    path = annotation(cars)
    path.write_bytes(path.read_bytes()[:kept])
    assert_problem(cars, path, "")


def test_a_picture_without_annotation_is_noted(cars: Path):
    path = annotation(cars)
    path.unlink()
    assert_problem(cars, path, "no such file")


def test_an_annotation_without_picture_is_noted(cars: Path):
    path = annotation(cars).with_suffix(".png")
    path.unlink()
    assert_problem(cars, path, "no such image")


def test_hidden_files_are_not_looked_at(cars: Path):
    (cars / "PF-dataset" / SUBSET / "._Cars_006a.png").write_bytes(b"of another system")
    listing = read("pf-willow", cars, "test")
    assert (len(listing.pairs), listing.problems, listing.skipped) == (12, (), 0)


@pytest.mark.parametrize("made", [".", "PF-dataset", "PF-dataset/car(G)"])
def test_a_half_unpacked_dataset_is_refused_in_one_line(tmp_path: Path, made: str):
    (tmp_path / made).mkdir(parents=True, exist_ok=True)
    with pytest.raises(InputError, match=r"PF-dataset: .*<subset>/\*\.png.*PF-dataset\.zip$"):
        read("pf-willow", tmp_path, "test")


def test_without_scipy_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "PF-dataset").mkdir()
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(GeoAwareError) as caught:
        read("pf-willow", tmp_path, "test")
    assert str(caught.value) == 'reading PF-Willow needs scipy: pip install "geoaware[eval]"'
