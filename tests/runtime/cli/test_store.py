"""`georun extract` and `georun store`: filling the store, looking at it, clearing it."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from geoaware.examples import FOLDER
from geoaware.runtime.cli import georun

HASH = "d618bf65714a28db"  # of the bundle that ships


def run(*arguments: object) -> Result:
    return CliRunner().invoke(georun, [str(each) for each in arguments])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with four photographs, mirrored too, and one of them in int8."""
    folder = tmp_path / "store"
    assert run("extract", FOLDER, "--mirrored", "--store", folder).exit_code == 0
    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(FOLDER / "lion.jpg", one)
    assert run("extract", one, "--int8", "--store", folder).exit_code == 0
    return folder


def count(store: Path) -> int:
    return len(list(store.rglob("*.safetensors")))


def test_a_folder_is_searched_for_images(tmp_path: Path):
    folder = tmp_path / "images" / "deep"
    folder.mkdir(parents=True)
    shutil.copy(FOLDER / "lion.jpg", folder / "lion.JPG")
    (folder / "notes.txt").write_text("no image")
    (tmp_path / "images" / ".hidden.png").write_bytes(b"no image")
    done = run("extract", tmp_path / "images", "--store", tmp_path / "store")
    assert done.exit_code == 0
    assert done.stdout == "images: 1 extracted, 0 in the store already\n"


def test_a_datasets_images_are_those_of_its_pairs(data: Path, tmp_path: Path):
    done = run(
        "extract", "spair", "--root", data / "SPair-71k-mini", "--store", tmp_path, "--workers", 2
    )
    assert done.exit_code == 0, done.output
    assert done.stdout == "images: 25 extracted, 0 in the store already\n"


def test_unreadable_images_are_named_and_the_others_stored(tmp_path: Path):
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(FOLDER / "lion.jpg", folder)
    (folder / "broken.jpg").write_bytes(b"no image")
    done = run("extract", folder, "--store", tmp_path / "store")
    assert done.exit_code == 1
    assert "broken.jpg: is not an image" in done.stderr
    assert "georun: error: 1 of 2 images cannot be read; see above" in done.stderr
    assert count(tmp_path / "store") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nowhere"], "/nowhere: no such folder, and no dataset: spair"),
        ([FOLDER, "--split", "test"], "belong to a dataset"),
        ([FOLDER, "--bundle", "nowhere"], "is not built"),
        ([FOLDER, "--workers", "0"], "--workers"),
    ],
)
def test_bad_input_is_one_line(arguments: list[object], message: str):
    done = run("extract", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_an_empty_folder_is_an_error(tmp_path: Path):
    done = run("extract", tmp_path)
    assert done.exit_code == 2
    assert f"{tmp_path}: holds no image" in done.stderr


def test_info_counts_by_bundle_and_kind(store: Path):
    content = json.loads(run("store", "info", "--store", store, "--json").stdout)
    rows = {each["stored_as"]: each for each in content["bundles"]}
    assert rows["float16"]["bundle"] == HASH
    assert rows["float16"]["name"] == "lite"
    assert (rows["float16"]["images"], rows["float16"]["mirrored"]) == (4, 4)
    assert (rows["int8"]["images"], rows["int8"]["mirrored"]) == (1, 0)
    assert "lite" in run("store", "info", "--store", store).stdout


def test_an_empty_store_is_said_to_be(tmp_path: Path):
    assert "holds no features" in run("store", "info", "--store", tmp_path).stdout
    missing = run("store", "info", "--store", tmp_path / "nowhere")
    assert missing.exit_code == 2
    assert "no such folder" in missing.stderr


def test_prune_removes_what_every_option_applies_to(store: Path):
    kept = run("store", "prune", "--store", store, "--bundle", "0" * 16)
    assert "0 entries" in kept.stdout
    assert "0 entries" in run("store", "prune", "--store", store, "--older-than", 1).stdout
    old, *_ = sorted(store.rglob("*.safetensors"))
    os.utime(old, (time.time() - 3 * 86400,) * 2)
    looked = run("store", "prune", "--store", store, "--older-than", 2, "--dry-run")
    assert "1 entries" in looked.stdout
    assert "would be removed" in looked.stdout
    assert count(store) == 9
    run("store", "prune", "--store", store, "--older-than", 2, "--bundle", "lite")
    assert count(store) == 8
    assert not old.exists()


def test_prune_finds_damage(store: Path):
    broken, *_ = sorted(store.rglob("*.safetensors"))
    broken.write_bytes(broken.read_bytes()[:-3])
    assert "1 entries" in run("store", "prune", "--store", store, "--damaged").stdout
    assert not broken.exists()
    assert count(store) == 8


def test_prune_leaves_what_is_not_its_own(store: Path):
    own = store / "notes.txt"
    own.write_text("mine")
    other = store / "elsewhere" / "float16" / "ab" / "picture.safetensors"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"not of the store")
    left, *_ = sorted(store.rglob("*.safetensors"))
    stale = left.parent / ".geoaware-abc123"
    stale.write_bytes(b"half")
    os.utime(stale, (time.time() - 2 * 86400,) * 2)
    run("store", "prune", "--store", store, "--all")
    assert own.exists()
    assert other.exists()
    assert not stale.exists()
    assert count(store) == 1


def test_prune_must_be_told_what(store: Path):
    done = run("store", "prune", "--store", store)
    assert done.exit_code == 2
    assert "say what to remove" in done.stderr
