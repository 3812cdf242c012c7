"""`georun eval`, as its user has it: numbers, files, the store, interruption, bad input."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from geoaware.runtime.cli import georun
from geoaware.runtime.segmenter import Segmenter

from ..datasets import test_animal_pose, test_folder
from ..mask_bundle import mask_bundle

MINI = "SPair-71k-mini"


@pytest.fixture
def root(data: Path) -> Path:
    return data / MINI


def run(*arguments: object) -> Result:
    return CliRunner().invoke(georun, [str(each) for each in arguments])


def results(*arguments: object) -> dict[str, Any]:
    done = run("eval", *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def numbers(content: dict[str, Any]) -> dict[str, Any]:
    """What must not change from run to run: all but dates, durations and where features were."""
    return {name: content[name] for name in ("dataset", "bundles", "method", "protocols")}


def test_pck_on_real_pairs_with_the_protocol_named(root: Path):
    done = run("eval", "spair", "--root", root)
    assert done.exit_code == 0, done.output
    assert "45.3" in done.stdout
    assert "distance <= alpha x longer side" in " ".join(done.stdout.split())
    assert "features: 25 extracted, 0 from the store" in done.stderr


def test_a_second_run_takes_features_from_the_store_and_says_so(root: Path):
    first = results("spair", "--root", root)
    second = results("spair", "--root", root)
    assert first["features"] == {
        "device": "cpu", "stored_as": "float16", "extracted": 25, "from_store": 0,
    }  # fmt: skip

    assert second["features"] == {
        "device": None, "stored_as": "float16", "extracted": 0, "from_store": 25,
    }  # fmt: skip

    assert numbers(first) == numbers(second)


def test_every_protocol_from_one_run(root: Path):
    content = results("spair", "--root", root, "--protocol", "all", "--limit", 10)
    assert list(content["protocols"]) == [
        "box", "box-strict", "image", "image-strict", "keypoint-box",
    ]  # fmt: skip
    chosen = results("spair", "--root", root, "--alpha", 0.1, "--alpha", 0.3, "--limit", 10)
    assert chosen["protocols"]["box"]["alphas"] == [0.1, 0.3]


def test_results_do_not_depend_on_the_number_of_workers(root: Path):
    options = "spair", "--root", root, "--pose-alignment", "mutual", "--mutual", "--limit", 20
    assert numbers(results(*options, "--workers", 1)) == numbers(results(*options, "--workers", 4))


def test_an_ensemble_of_lite_with_itself_is_lite(root: Path):
    one = results("spair", "--root", root)
    two = results(
        "spair", "--root", root, "--bundle", "lite", "--bundle", "lite", "--weights", "1,3"
    )
    assert two["protocols"]["box"]["overall"] == one["protocols"]["box"]["overall"]
    assert [each["weight"] for each in two["bundles"]] == [0.25, 0.75]
    assert two["method"]["ensemble_grid"] == 32


def test_int8_costs_less_than_half_a_point(root: Path):
    half = results("spair", "--root", root)["protocols"]["box"]["overall"]["per_keypoint"]
    int8 = results("spair", "--root", root, "--int8")["protocols"]["box"]["overall"]["per_keypoint"]
    for alpha in half:
        assert abs(half[alpha] - int8[alpha]) < 0.5


def test_a_run_leaves_tables_and_reports(root: Path, tmp_path: Path):
    out = tmp_path / "out"
    done = run(
        "eval", "spair", "--root", root, "--out", out, "--geo-aware", "--per-keypoint", "--mutual"
    )
    assert done.exit_code == 0, done.output
    names = {path.name for path in out.iterdir()}
    assert names == {
        "results.json", "per_pair.csv", "per_keypoint.csv", "report.md", "report.html",
    }  # fmt: skip
    content = json.loads((out / "results.json").read_text("utf-8"))
    with (out / "per_keypoint.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == content["dataset"]["keypoints"] == 1034
    pooled = 100 * np.mean([int(row["box@0.10"]) for row in rows])
    scores = content["protocols"]["box"]["overall"]
    assert scores["per_keypoint"]["0.10"] == pytest.approx(pooled, abs=1e-5)
    with (out / "per_pair.csv").open(newline="") as file:
        shares = [float(row["box@0.10"]) for row in csv.DictReader(file)]
    assert scores["per_image"]["0.10"] == pytest.approx(100 * np.mean(shares), abs=1e-5)
    subset = content["protocols"]["box"]["geometry_aware"]
    assert 0 < subset["keypoints_share"] < 100
    assert content["protocols"]["box"]["mutual"]["scores"]["keypoints"] < 1034
    assert set(content["protocols"]["box"]["keypoints"]) == {"cat", "cow", "dog", "horse", "sheep"}


def begun(options: list[Any], kept: Path, lines: int) -> subprocess.Popen[bytes]:
    """A run in a process of its own that has kept more than so many lines of outcomes."""
    command = [sys.executable, "-m", "geoaware.runtime", "eval", *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (kept.exists() and kept.read_bytes().count(b"\n") > lines):
        assert process.poll() is None
        time.sleep(0.01)
    return process


def test_an_interrupted_run_resumes_to_the_same_results(root: Path, tmp_path: Path):
    options = ["spair", "--root", root, "--pose-alignment", "mutual", "--mutual"]
    whole = results(*options, "--out", tmp_path / "whole")

    out = tmp_path / "out"
    kept = out / "outcomes.jsonl"
    process = begun([*options, "--out", out], kept, 20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "results.json").exists()
    with kept.open("ab") as file:  # what a power cut may leave
        file.write(b'\0\0\xff{"pair": "cut sho\n{"pair": "cut sho')

    forgotten = run("eval", *options, "--out", out)
    assert forgotten.exit_code == 2
    assert "holds an interrupted run; go on with --resume" in forgotten.stderr
    other = run("eval", *options, "--method", "argmax", "--out", out, "--resume")
    assert other.exit_code == 1
    assert "belongs to a run with other pairs, bundles or options" in other.stderr

    done = run("eval", *options, "--out", out, "--resume", "--json")
    assert done.exit_code == 0, done.output
    assert "of 100 pairs are done already" in done.stderr
    assert numbers(json.loads(done.stdout)) == numbers(whole)
    for name in ("per_pair.csv", "per_keypoint.csv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not kept.exists()


def masks_of(root: Path, folder: Path, white: int = 255) -> Path:
    """The objects' boxes as masks, for every image."""
    for path in (root / "JPEGImages").rglob("*.jpg"):
        annotation = root / "ImageAnnotation" / path.parent.name / f"{path.stem}.json"
        with Image.open(path) as image:
            mask = Image.new("L", image.size)
        mask.paste(white, json.loads(annotation.read_text())["bndbox"])
        target = (folder / path.relative_to(root)).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        mask.save(target)
    return folder


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root, tmp_path / "spair"))


def test_wrong_annotations_are_listed_and_their_pairs_skipped_and_counted(copy: Path):
    [first, second, *_] = sorted((copy / "PairAnnotation" / "test").iterdir())
    first.write_text("{", "utf-8")
    second.unlink()
    broken = next((copy / "JPEGImages" / "sheep").iterdir())
    broken.write_bytes(broken.read_bytes()[:3000])  # opens, and ends too soon
    content = results("spair", "--root", copy)
    assert content["dataset"]["pairs"] + content["dataset"]["skipped"] == 100
    listed = " ".join(content["dataset"]["problems"])
    for path in (first, second, broken):
        assert path.name in listed

    strict = run("eval", "spair", "--root", copy, "--strict")
    assert strict.exit_code == 1
    assert first.name in strict.stderr
    assert strict.stderr.splitlines()[-1].startswith("georun: error: 2 problems")


def test_masks_choose_the_pose(root: Path, tmp_path: Path):
    masks = masks_of(root, tmp_path / "masks")
    options = "spair", "--root", root, "--pose-alignment", "mask", "--masks", masks
    content = results(*options, "--limit", 10)
    assert content["method"]["pose_alignment"] == "mask"
    assert 0 < content["method"]["mirrored_pairs"] < 10

    one = next((masks / "JPEGImages" / "sheep").iterdir())
    one.unlink()
    missing = run("eval", *options)
    assert missing.exit_code == 2
    assert f"{one}: no such mask" in missing.stderr


def test_masks_are_made_from_the_boxes_and_kept(root: Path, tmp_path: Path, monkeypatch):
    bundle, store = mask_bundle(tmp_path / "rules"), tmp_path / "store"
    options = "spair", "--root", root, "--pose-alignment", "mask", "--limit", 10, "--store", store
    made = results(*options, "--mask-bundle", bundle.path)
    assert made["method"]["pose_alignment"] == "mask"
    assert made["method"]["mask_bundle"]["hash"] == bundle.manifest.hash()
    files = list((store / bundle.manifest.hash() / "masks").rglob("*.png"))
    assert len(files) == made["dataset"]["images"]
    monkeypatch.setattr(Segmenter, "embed", None)
    assert numbers(results(*options, "--mask-bundle", bundle.path)) == numbers(made)
    # The rules' masks are the boxes, but for pixels near the border.
    boxes = results(*options, "--masks", masks_of(root, tmp_path / "masks"))
    difference = made["method"]["mirrored_pairs"] - boxes["method"]["mirrored_pairs"]
    assert abs(difference) <= 1


def test_masks_that_show_nothing_are_refused(root: Path, tmp_path: Path):
    """Masks of 0 and 1 look black, and are a common way to store them."""
    masks = masks_of(root, tmp_path / "masks", white=1)
    options = "spair", "--root", root, "--pose-alignment", "mask", "--masks", masks
    done = run("eval", *options)
    assert done.exit_code == 1
    assert "shows nothing white; the object is 255" in done.stderr


def test_other_masks_are_another_run(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    masks, out = masks_of(root, tmp_path / "masks"), tmp_path / "out"
    options = ["spair", "--root", root, "--pose-alignment", "mask", "--limit", 5, "--out", out]
    monkeypatch.setattr("geoaware.runtime.evaluation.report.write", interrupt)
    assert run("eval", *options, "--masks", masks).exit_code == 130
    assert (out / "outcomes.jsonl").exists()
    moved = masks.rename(tmp_path / "moved")
    again = run("eval", *options, "--masks", moved, "--resume")
    assert "5 of 5 pairs are done already" in again.stderr
    for path in moved.rglob("*.png"):
        with Image.open(path) as image:
            Image.new("L", image.size, 255).save(path)
    other = run("eval", *options, "--masks", moved, "--resume")
    assert other.exit_code == 1
    assert "belongs to a run with other" in other.stderr


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_closed_stdout_is_no_bug(root: Path):
    command = f"{sys.executable} -m geoaware.runtime eval spair --root {root} --limit 2 >&-"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_ctrl_c_is_heard_soon_and_says_how_to_go_on(root: Path, tmp_path: Path):
    out = tmp_path / "out"
    options = ["spair", "--root", root, "--pose-alignment", "mutual", "--out", out]
    process = begun(options, out / "outcomes.jsonl", 5)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, errors = process.communicate()
    assert process.returncode == 130
    assert b"go on with --resume" in errors
    assert time.monotonic() - started < 5


def test_a_category_without_a_table_is_told_before_any_work(copy: Path):
    for folder in ("ImageAnnotation", "JPEGImages"):
        (copy / folder / "cat").rename(copy / folder / "zebra")
    for path in [*copy.rglob("*.json"), copy / "Layout" / "large" / "test.txt"]:
        text = path.read_text("utf-8")
        if ":cat" in text or '"cat"' in text:
            path.write_text(text.replace(":cat", ":zebra").replace('"cat"', '"zebra"'), "utf-8")
        if path.stem.endswith(":cat"):
            path.rename(path.with_name(path.name.replace(":cat", ":zebra")))
    assert run("eval", "spair", "--root", copy, "--categories", "zebra").exit_code == 0
    for option in (["--geo-aware"], ["--pose-alignment", "mutual"]):
        done = run("eval", "spair", "--root", copy, *option)
        assert done.exit_code == 2
        assert "category 'zebra' is in no table of keypoints" in done.stderr


def test_names_that_are_no_text_do_not_end_a_run(copy: Path, tmp_path: Path):
    root = copy.rename(tmp_path / "sp\udcffair")
    next((root / "JPEGImages" / "sheep").iterdir()).unlink()
    out = tmp_path / "o\udcffut"
    done = run("eval", "spair", "--root", root, "--out", out)
    assert done.exit_code == 0, done.output
    assert "udcff" in (out / "results.json").read_text("utf-8")


def test_bundles_of_different_frames_are_refused_before_any_work(root: Path, tmp_path: Path):
    from benchmarks.synthetic import random_bundle

    other = random_bundle(tmp_path / "random", side=32, cells=4, channels=8)
    done = run("eval", "spair", "--root", root, "--bundle", "lite", "--bundle", other.path)
    assert done.exit_code == 2
    assert "lite (stretch) and random (letterbox)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spair", "--protocol", "pck"], "protocol 'pck' is none of box"),
        (["pf-willow", "--protocol", "box"], "PF-Willow has none"),
        (["spair", "--alpha", "-1"], "--alpha -1.0 must be above 0"),
        (
            ["spair", "--split", "tests"],
            "no split 'tests' in setting large; it has train",
        ),
        (["spair", "--setting", "medium"], "no setting 'medium'"),
        (["spair", "--categories", "unicorn"], "no pair of category 'unicorn'"),
        (["spair", "--bundle", "nowhere"], "bundle 'nowhere' is not built"),
        (["spair", "--weights", "1,2"], "--weights: 2 for 1 bundles"),
        (["spair", "--weights", "one"], "are not numbers"),
        (["spair", "--resume"], "--resume needs the --out"),
        (["spair", "--pose-alignment", "mask"], "belong together"),
        (["spair", "--mask-bundle", "lite"], "belong together"),
        (
            ["spair", "--pose-alignment", "mask", "--mask-bundle", "lite", "--masks", "here"],
            "give one",
        ),
        (
            ["spair", "--pose-alignment", "mask", "--mask-bundle", "lite"],
            "bundle 'lite' makes no masks",
        ),
        (["spair", "--window", "4"], "window 4 must be odd"),
        (["pf-willow", "--geo-aware"], "no table of look-alike keypoints"),
        (["pf-willow", "--pose-alignment", "mutual"], "no table of which keypoints"),
        (["spair", "--device", "gpu"], "'gpu' is not one of"),
        (["spair", "--root", "/nowhere"], "/nowhere: no such folder"),
    ],
)
def test_bad_input_is_one_line(data: Path, arguments: list[str], message: str):
    name = {"spair": MINI, "pf-willow": "PF-WILLOW"}[arguments[0]]
    root = [] if "--root" in arguments else ["--root", str(data / name)]
    done = run("eval", *arguments, *root)
    assert done.exit_code == 2
    assert message in done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("georun: error:")]
    assert line == done.stderr.splitlines()[-1]


def test_a_dataset_without_a_test_split_is_evaluated_on_val(tmp_path: Path):
    root = test_animal_pose.dataset(tmp_path, *map(test_animal_pose.annotated, range(1, 9)))
    content = results("animal-pose", "--root", root, "--geo-aware", "--pose-alignment", "mutual")
    assert (content["dataset"]["split"], content["dataset"]["pairs"]) == ("val", 2)
    # of 20 keypoints all but the nose, the throat, the withers and the base of the tail
    assert content["protocols"]["box"]["geometry_aware"]["scores"]["keypoints"] == 2 * 16


def test_ones_own_images_are_evaluated(tmp_path: Path):
    images = [test_folder.image(n, split="val", box=[5, 6, 60, 40]) for n in range(3)]
    root = test_folder.dataset(tmp_path, *images)
    content = results("folder", "--root", root)
    assert (content["dataset"]["pairs"], list(content["protocols"])) == (6, ["keypoint-box"])
    assert list(results("folder", "--root", root, "--protocol", "box")["protocols"]) == ["box"]


def test_boxes_that_are_missing_are_told_before_the_work(tmp_path: Path):
    root = test_folder.dataset(tmp_path, *(test_folder.image(n, split="val") for n in range(2)))
    for command in ("eval", "tune"):
        done = run(
            command, "folder", "--root", root, "--protocol", "box", "--store", tmp_path / "s"
        )
        assert done.exit_code == 2
        assert "protocol 'box' needs boxes, and " in done.stderr
    assert not (tmp_path / "s").exists()


def test_a_dataset_that_is_not_there_is_told_how_to_get(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GEOAWARE_DATA", str(tmp_path))
    done = run("eval", "spair")
    assert done.exit_code == 2
    assert "SPair-71k: no such folder" in done.stderr
    assert "PairAnnotation" in done.stderr
    assert "http" in done.stderr
    monkeypatch.delenv("GEOAWARE_DATA")
    assert "--root, or set GEOAWARE_DATA" in run("eval", "pf-willow").stderr


def test_a_folder_of_ones_own_is_nowhere_to_get(tmp_path: Path, monkeypatch):
    says = "error: Own dataset: give its folder with --root; its format: docs/evaluation.md\n"
    monkeypatch.setenv("GEOAWARE_DATA", str(tmp_path))
    assert run("eval", "folder").stderr.endswith(says)
    monkeypatch.delenv("GEOAWARE_DATA")
    assert run("eval", "folder").stderr.endswith(says)
