"""Datasets fetched, unpacked and read: what is left where, whatever goes wrong."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import pytest

from geoaware.runtime.datasets import place, read
from geoaware.runtime.datasets.download import ATTEMPTS
from geoaware.runtime.datasets.place import Advance, alone, destination
from geoaware.runtime.datasets.prepare import (
    check,
    check_usable,
    fetch,
    install,
    not_validated,
    problems_of,
)
from geoaware.runtime.errors import GeoAwareError, InputError

from . import test_folder
from .http_server import Server, refuses, sends
from .test_ap10k import annotated, few
from .test_unpack import FILES, UNPACKED, content, packed

HEX = "0" * 64


@contextmanager
def silent(step: str, unit: str) -> Iterator[Advance]:
    yield lambda done, total: None


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return packed(tmp_path / "a.tar.gz", "tar.gz", FILES)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset's folder that is to be, in a folder of its own."""
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets" / "SPair-71k"


def test_an_archive_becomes_the_dataset(archive: Path, root: Path):
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    install(archive, root, digest.upper(), silent)
    assert content(root) == UNPACKED
    assert list(root.parent.iterdir()) == [root]
    assert archive.exists()


def test_an_archive_with_another_sha256_is_not_unpacked_and_stays(archive: Path, root: Path):
    with pytest.raises(GeoAwareError, match=rf"a\.tar\.gz: has SHA-256 [0-9a-f]{{64}}, not {HEX}"):
        install(archive, root, HEX, silent)
    assert not root.exists()
    assert archive.exists()


def test_an_archive_that_is_not_there_makes_no_folders(tmp_path: Path):
    for sha256 in (None, HEX):
        with pytest.raises(InputError, match="no such file"):
            install(tmp_path / "none.zip", tmp_path / "a" / "b", sha256, silent)
    assert not list(tmp_path.iterdir())


def test_a_download_becomes_the_dataset_and_goes(
    archive: Path,
    root: Path,
    server: Server,
):
    server.answers = [sends(archive.read_bytes())]
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    fetch(server.url, root, digest, silent)
    assert content(root) == UNPACKED
    assert list(root.parent.iterdir()) == [root]


def test_a_download_with_another_sha256_goes_too(
    archive: Path,
    root: Path,
    server: Server,
):
    server.answers = [sends(archive.read_bytes())]
    with pytest.raises(
        GeoAwareError, match=rf"^{server.url}: .* not {HEX}; .* \(the download was re"
    ):
        fetch(server.url, root, HEX, silent)
    assert not list(root.parent.iterdir())


def test_a_download_that_is_no_archive_goes_too(root: Path, server: Server):
    server.answers = [sends(b"<html>Please sign in</html>")]
    with pytest.raises(GeoAwareError, match="is a web page, not an archive; download it with a br"):
        fetch(server.url, root, None, silent)
    assert not list(root.parent.iterdir())


def test_a_download_for_which_there_is_no_place_stays(
    archive: Path,
    root: Path,
    server: Server,
):
    (root / "Layout").mkdir(parents=True)
    server.answers = [sends(archive.read_bytes())]
    with pytest.raises(InputError, match=r"already holds Layout; .* \(the download is kept: "):
        fetch(server.url, root, None, silent)
    (root / "Layout").rmdir()
    server.answers = [refuses(404)]
    fetch(server.url, root, None, silent)
    assert content(root) == UNPACKED
    assert list(root.parent.iterdir()) == [root]


def test_a_download_that_was_cut_off_goes_on_in_the_next_call(
    archive: Path,
    root: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("geoaware.runtime.datasets.download.LONGEST_PAUSE", 0.0)
    server.answers = [sends(archive.read_bytes(), most=10)]
    with pytest.raises(GeoAwareError, match="the same command goes on from what there is"):
        fetch(server.url, root, None, silent)
    assert not root.exists()
    server.answers = [sends(archive.read_bytes())]
    fetch(server.url, root, None, silent)
    assert server.asked[-1]["Range"] == f"bytes={ATTEMPTS * 10}-"
    assert content(root) == UNPACKED


def test_one_process_at_a_time_fills_a_folder(archive: Path, root: Path):
    refusal = pytest.raises(GeoAwareError, match="SPair-71k: another georun data prepare is fil")
    with alone(root), refusal:
        install(archive, root, None, silent)
    assert not list(root.parent.iterdir())


def test_a_lock_that_its_last_holder_removes_is_made_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    lock, path = place._lock, root.parent / ".SPair-71k.lock"
    taken = []

    def lock_late(descriptor: int) -> None:
        if not taken:
            path.unlink()
        lock(descriptor)
        taken.append(descriptor)

    monkeypatch.setattr(place, "_lock", lock_late)
    with alone(root):
        assert path.exists()
        assert len(taken) == 2


def test_a_mount_point_is_filled_from_within(
    archive: Path, root: Path, monkeypatch: pytest.MonkeyPatch
):
    root.mkdir()
    monkeypatch.setattr(place.Path, "is_mount", lambda path: path == root)
    inside = []
    monkeypatch.setattr(place.Path, "rename", _noted(inside))
    install(archive, root, None, silent)
    assert content(root) == UNPACKED
    assert {path.parent for path in inside} == {root / ".SPair-71k.unpacking"}


def _noted(moved: list[Path]) -> Callable[[Path, Path], None]:
    def rename(path: Path, to: Path) -> None:
        moved.append(path)
        os.rename(path, to)  # noqa: PTH104

    return rename


def test_a_move_that_fails_half_way_is_undone(
    archive: Path, root: Path, monkeypatch: pytest.MonkeyPatch
):
    root.mkdir()

    def rename(path: Path, to: Path) -> None:
        if path.name == "Layout" and to.parent == root:
            raise OSError(28, "No space left on device")
        os.rename(path, to)  # noqa: PTH104

    monkeypatch.setattr(place.Path, "rename", rename)
    with pytest.raises(
        GeoAwareError, match="SPair-71k: cannot be written: No space left on device"
    ):
        install(archive, root, None, silent)
    assert not list(root.iterdir())
    assert list(root.parent.iterdir()) == [root]


def test_a_destination_is_given_or_under_geoaware_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("GEOAWARE_DATA", raising=False)
    assert destination("spair", str(tmp_path / "x" / "y")) == tmp_path / "x" / "y"
    with pytest.raises(InputError, match="give its folder with --root, or set GEOAWARE_DATA"):
        destination("spair", None)
    monkeypatch.setenv("GEOAWARE_DATA", str(tmp_path))
    assert destination("pf-pascal", None) == tmp_path / "PF-PASCAL"
    (tmp_path / "PF-Pascal").mkdir()
    assert destination("pf-pascal", None) == tmp_path / "PF-Pascal"


def test_a_destination_is_a_folder(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: is a file; name a folder"):
        destination("spair", str(tmp_path / "file"))
    with pytest.raises(InputError, match="name a folder for the dataset"):
        destination("spair", "/")


def test_every_split_of_every_setting_is_read(tmp_path: Path):
    few(tmp_path, *(annotated(n, "cat") for n in range(32)), *(annotated(99, "dog"),))
    found = {(each.setting, each.split): each for each in check("ap10k", tmp_path, silent)}
    assert {key: (each.pairs, each.images) for key, each in found.items()} == {
        ("intra-species", "train"): (0, 0),
        ("intra-species", "val"): (1, 2),
        ("intra-species", "test"): (435, 30),
        ("cross-species", "val"): (0, 0),
        ("cross-species", "test"): (0, 0),
        ("cross-family", "val"): (0, 0),
        ("cross-family", "test"): (30, 31),
    }
    assert problems_of(list(found.values())) == ()


def test_the_lists_of_ap10k_are_built_on_the_way(tmp_path: Path):
    few(tmp_path, annotated(1, "cat"), annotated(2, "cat"))
    for path in (tmp_path / "correspondence").iterdir():
        path.unlink()
    check("ap10k", tmp_path, silent)
    assert len(read("ap10k", tmp_path, "test").pairs) == 1


def test_a_problem_of_several_splits_is_told_once(tmp_path: Path):
    few(tmp_path, annotated(1, "cat"), annotated(2, "cat"), *(annotated(n, "dog") for n in (3, 4)))
    (tmp_path / "0001.jpg").write_text("no image")
    found = check("ap10k", tmp_path, silent)
    assert {(each.setting, each.pairs, each.skipped) for each in found if each.problems} == {
        ("intra-species", 1, 1), ("cross-family", 2, 2),
    }  # fmt: skip
    [problem] = problems_of(found)
    assert problem.where == str(tmp_path / "0001.jpg")


def test_a_split_that_is_not_there_is_absent(data: Path):
    found = check("spair", data / "SPair-71k-mini", silent)
    there = [(each.split, each.setting, each.pairs, each.images) for each in found if each.pairs]
    assert there == [("test", "large", 100, 25)]
    assert all("no such file" in (each.absent or "") for each in found if not each.pairs)


def test_a_split_that_cannot_be_read_is_a_problem(data: Path, tmp_path: Path):
    root = tmp_path / "SPair-71k"
    copytree(data / "SPair-71k-mini", root)
    (root / "PairAnnotation/val").mkdir()
    (root / "Layout/large/val.txt").write_bytes(b"\xff\xfe\xff")
    found = {(each.split, each.setting): each for each in check("spair", root, silent)}
    assert found["test", "large"].pairs == 100
    [problem] = found["val", "large"].problems
    assert problem.where == str(root / "Layout/large/val.txt")
    assert problem.what == "is damaged, no text; get it again"


def test_a_file_that_all_lists_need_is_one_problem(tmp_path: Path):
    (tmp_path / "keypoints.json").write_text("{")
    found = check("folder", tmp_path, silent)
    assert len([each for each in found if each.problems]) == 6
    [problem] = problems_of(found)
    assert problem.where == str(tmp_path / "keypoints.json")
    with pytest.raises(GeoAwareError, match="no pair of Own dataset can be used: 1 problem$"):
        check_usable("folder", tmp_path, found)


@pytest.mark.parametrize(
    ("splits", "settings"),
    [(["train"] * 2, ["within"]), (["test"] * 2, []), (["train", "val"] * 2, [])],
)
def test_pairs_to_learn_from_without_any_to_validate_on_are_told(
    splits: list[str], settings: list[str], tmp_path: Path
):
    images = (test_folder.image(n, split=split) for n, split in enumerate(splits))
    found = check("folder", test_folder.dataset(tmp_path, *images), silent)
    assert not_validated(found) == settings


def test_a_dataset_of_which_nothing_can_be_used_is_an_error(tmp_path: Path):
    with pytest.raises(GeoAwareError, match="holds no annotations; AP-10K is a folder with"):
        check("ap10k", tmp_path, silent)
    nothing = check("spair", tmp_path, silent)
    with pytest.raises(GeoAwareError, match="no pair of SPair-71k can be used: .*no such file"):
        check_usable("spair", tmp_path, nothing)
    few(tmp_path, annotated(1, "cat"), annotated(2, "cat"))
    for number in (1, 2):
        (tmp_path / f"000{number}.jpg").unlink()
    found = check("ap10k", tmp_path, silent)
    with pytest.raises(GeoAwareError) as caught:
        check_usable("ap10k", tmp_path, found)
    assert str(caught.value) == f"{tmp_path}: no pair of AP-10K can be used: 2 problems"
    assert type(caught.value) is GeoAwareError
    (tmp_path / "few.json").write_text('{"images": [], "annotations": [], "categories": []}')
    empty = check("ap10k", tmp_path, silent)
    with pytest.raises(GeoAwareError, match="can be used: its lists are empty"):
        check_usable("ap10k", tmp_path, empty)
