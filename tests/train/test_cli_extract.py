"""`geotrain extract`: a dataset's images, and what is said of them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from geoaware.runtime.cli import georun
from geoaware.train.cli import geotrain


@pytest.fixture(scope="module")
def mugs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of one's own: four pictures to train on, two to validate, two to test."""
    folder, generator = tmp_path_factory.mktemp("mugs"), np.random.default_rng(0)
    images = []
    for number, split in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 2):
        pixels = generator.integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
        points = {"a": [5, 5], "b": [30, 20], "c": [50, 35]}
        images.append(
            {"file": f"{number}.jpg", "category": "mug", "keypoints": points, "split": split}
        )
    categories = {"mug": {"keypoints": ["a", "b", "c"], "left_right": []}}
    content = {"categories": categories, "images": images}
    (folder / "keypoints.json").write_text(json.dumps(content), "utf-8")
    return folder


def run(mugs: Path, store: Path, *options: object) -> Result:
    words = ["extract", "lite", "folder", "--root", mugs, "--store", store, "--frame", 64, *options]
    return CliRunner().invoke(geotrain, [str(word) for word in words])


def test_the_images_that_training_reads_are_stored_and_kept(mugs: Path, tmp_path: Path):
    first = run(mugs, tmp_path, "--json")
    assert first.exit_code == 0, first.output
    facts = json.loads(first.stdout)
    assert (facts["images"], facts["made"], facts["in_store"], facts["failed"]) == (6, 12, 0, {})
    assert len(list(Path(facts["folder"]).glob("*/*.safetensors"))) == 12
    assert "device: " in first.stderr
    assert "12 maps: 6 images and their mirror images; 0.01 MB each, 0 MB in" in first.stderr
    again = run(mugs, tmp_path, "--device", "cpu")
    assert again.stdout == f"0 maps made, 12 in the store already: {facts['folder']}\n"
    assert "device: " not in again.stderr


def test_one_split_without_mirror_images(mugs: Path, tmp_path: Path):
    facts = json.loads(run(mugs, tmp_path, "--split", "test", "--no-mirrored", "--json").stdout)
    assert (facts["images"], facts["made"]) == (2, 2)


def test_the_store_shows_taps_and_can_be_cleared_of_them(mugs: Path, tmp_path: Path):
    folder = json.loads(run(mugs, tmp_path, "--json").stdout)["folder"]
    upkeep = partial(CliRunner().invoke, georun)
    content = json.loads(upkeep(["store", "info", "--store", str(tmp_path), "--json"]).stdout)
    [row] = content["bundles"]
    assert row.pop("bytes") > 12 * 5000
    identity = Path(folder).parent.name
    assert row == {
        "bundle": identity, "name": "efficientnet-lite0", "stored_as": "taps",
        "images": 6, "mirrored": 6,
    }  # fmt: skip
    done = upkeep(["store", "prune", "--store", str(tmp_path), "--bundle", identity])
    assert "12 entries" in done.stdout
    assert "holds no features" in upkeep(["store", "info", "--store", str(tmp_path)]).stdout
    assert json.loads(run(mugs, tmp_path, "--json").stdout)["made"] == 12


def test_random_weights_have_a_place_of_their_own(mugs: Path, tmp_path: Path):
    places = {
        json.loads(run(mugs, tmp_path, "--json", *options).stdout)["folder"]
        for options in ((), ("--random-weights", 1), ("--random-weights", 2))
    }
    assert len(places) == 3


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--split", "other"], "no split 'other'"),
        (["--setting", "other"], "no setting 'other'"),
        (["--frame", "100"], "frame side 100 does not fit lite"),
        (["--weights", "dinov2-s=here"], "recipe lite has no such part"),
        (["--weights", "efficientnet-lite0"], "write PART=SOURCE"),
    ],
)
def test_what_was_asked_wrongly_is_one_clear_line(
    mugs: Path, tmp_path: Path, options: list[str], error: str
):
    done = run(mugs, tmp_path, *options)
    assert done.exit_code == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("geotrain: error: ")
    assert error in last


def test_unreadable_images_are_named_and_fail_in_the_end(mugs: Path, tmp_path: Path):
    folder = tmp_path / "mugs"
    folder.mkdir()
    for path in mugs.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    whole = (folder / "5.jpg").read_bytes()
    (folder / "5.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    done = run(folder, tmp_path / "store")
    assert done.exit_code == 1
    assert f"{folder / '5.jpg'}: " in done.stderr
    assert done.stderr.splitlines()[-1].endswith("1 of 6 images cannot be read; see above")
    assert done.stdout.startswith("10 maps made, 0 in the store already: ")
