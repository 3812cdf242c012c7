from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from geoaware.runtime.bundle import home
from geoaware.runtime.cli import georun
from geoaware.runtime.segmenter import Segmenter

from ..mask_bundle import mask_bundle

BOX = (100, 50, 300, 200)  # of the cat's 451 x 300 pixels


def run(*arguments: object) -> Result:
    return CliRunner().invoke(georun, ["mask", *map(str, arguments)])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return mask_bundle(tmp_path / "rules").path


def test_the_mask_is_white_on_black_at_the_images_size(bundle: Path, cat: Path, tmp_path: Path):
    out = tmp_path / "mask.png"
    done = run(cat, "--box", "100,50,300,200", "--bundle", bundle, "--out", out)
    assert done.exit_code == 0, done.output
    with Image.open(out) as image:
        assert image.size == (451, 300)
        found = np.asarray(image.convert("L"))
    assert set(np.unique(found)) == {0, 255}
    expected = Segmenter.load(bundle).mask(cat, BOX).mask
    np.testing.assert_array_equal(found == 255, expected)
    assert f"{cat}: {expected.sum()} pixels (" in done.stdout


def test_json_says_what_was_asked_and_found(bundle: Path, cat: Path):
    done = run(
        cat, "--point", "120,80", "--background", "9,9.5", "--bundle", bundle, "--json"
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["image"] == {"path": str(cat), "width": 451, "height": 300}
    assert report["bundle"]["name"] == "rules"
    assert report["prompt"] == {"box": None, "points": [[120, 80], [9, 9.5]], "labels": [1, 0]}
    found = Segmenter.load(bundle).mask(cat, points=[(120, 80), (9, 9.5)], labels=[1, 0])
    assert (report["score"], report["pixels"]) == (found.score, int(found.mask.sum()))
    assert set(report["timings_ms"]) == {"embed", "mask"}


def test_the_picture_tints_the_object_and_shows_the_prompt(
    bundle: Path, cat: Path, tmp_path: Path
):  # fmt: skip
    draw = tmp_path / "drawn.png"
    done = run(
        cat, "--box", "100,50,300,200", "--point", "120,80", "--bundle", bundle, "--draw", draw
    )
    assert done.exit_code == 0, done.output
    with Image.open(cat) as image, Image.open(draw) as picture:
        before, after = (np.asarray(each.convert("RGB")).astype(int) for each in (image, picture))
    changed = (before != after).any(axis=2)
    assert changed[100:180, 150:250].mean() > 0.99, "the object is tinted"
    assert not changed[:, 350:].any(), "what is beside it stays"
    assert tuple(after[80, 120]) == (60, 220, 90), "the point has its colour"
    assert tuple(after[50, 200]) == (255, 210, 60), "so has the box"


def test_a_bundle_of_its_own_is_asked_for_where_none_is_named(cat: Path):
    done = run(cat, "--box", "100,50,300,200")
    assert done.exit_code == 2
    assert "bundle 'sam-b-masks' is not built; build it: geoexport build sam-b-masks" in done.stderr
    mask_bundle(home() / "sam-b-masks")
    assert run(cat, "--box", "100,50,300,200").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "a mask needs --box, or a --point on the object"),
        (["--background", "3,3"], "a mask needs --box, or a --point on the object"),
        (["--box", "1,2,3"], "--box: '1,2,3' is not like 40,20,300,260"),
        (["--point", "a,b"], "--point: 'a,b' is not like 120,80"),
        (["--point", "500,3"], "point 1 (500, 3) lies outside the image"),
        (["--box", "5,5,500,9"], "which is 451 x 300 pixels"),
        (["--point", "3,3", "--out", "/nowhere/mask.png"], "the folder /nowhere does not exist"),
        (["--point", "3,3", "--out", "x.png", "--draw", "x.png"], "would replace"),
        (["--point", "3,3", "--bundle", "lite"], "'lite' makes no masks"),
    ],
)
def test_bad_input_is_one_line(
    bundle: Path, cat: Path, tmp_path: Path, monkeypatch, arguments: list[str], message: str
):
    monkeypatch.chdir(tmp_path)
    chosen = [] if "--bundle" in arguments else ["--bundle", bundle]
    done = run(cat, *arguments, *chosen)
    assert done.exit_code == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("georun: error:")]
    assert message in line
    assert list(tmp_path.glob("*.png")) == []


def test_random_weights_are_said(cat: Path, tmp_path: Path):
    bundle = mask_bundle(tmp_path / "random")
    manifest = json.loads((bundle.path / "manifest.json").read_text("utf-8"))
    manifest["weights"] = [
        {"part": "sam-b", "source": "random:0", "revision": None, "sha256": None, "licence": "none"}
    ]
    (bundle.path / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    done = run(cat, "--point", "3,3", "--bundle", bundle.path)
    assert done.exit_code == 0
    assert "warning: random has random weights" in done.stderr


def test_a_missing_image_is_named(bundle: Path):
    done = run("nothere.png", "--point", "3,3", "--bundle", bundle)
    assert done.exit_code == 2
    assert "nothere.png: no such file" in done.stderr
