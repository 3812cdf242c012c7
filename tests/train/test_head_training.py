"""Whole runs of `geotrain head` on four pairs of photographs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from torch.distributed import run as torchrun

from geoaware.train.cli import geotrain
from geoaware.train.journal import read_metrics

from .small_set import four_pairs

# Widths and a frame that make a step take a fraction of a second.
SETTINGS = {
    "name": "by-heart",
    "recipe": "lite",
    "frame": 384,
    "data": {"dataset": "folder"},
    "head": {"hidden": 64, "outputs": 128, "dropout": 0},
    "losses": {"cells": 1, "noise": 0},
    "mirroring": {"source": 0, "both": 0, "own": 0},
    "batch": {"pairs": 4},
    "fitting": {"steps": 6, "learning_rate": 0.002, "checkpoint_every": 3},
    "validation": {"every": 3},
}


@pytest.fixture(scope="module")
def place(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the dataset `set`, settings and a store of taps that the tests share."""
    folder = tmp_path_factory.mktemp("by-heart")
    four_pairs(data, folder / "set")
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS), "utf-8")
    return folder


def words(place: Path, out: str, *options: str) -> list[str]:
    return [
        "head", "--config", str(place / "settings.yaml"), "--root", str(place / "set"),
        "--store", str(place / "store"), "--out", str(place / out), "--device", "cpu", *options,
    ]  # fmt: skip


def trained(place: Path, out: str, *options: str, status: int = 0) -> Result:
    done = CliRunner().invoke(geotrain, words(place, out, *options))
    assert done.exit_code == status, done.output
    return done


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(folder) if "loss" in row]


def test_four_pairs_are_learnt_by_heart(place: Path):
    trained(place, "learnt", "--set", "fitting.steps=24", "--set", "validation.every=24")
    found = [row["pck"] for row in read_metrics(place / "learnt") if "pck" in row]
    assert max(found) > 95
    assert losses(place / "learnt")[-1] < losses(place / "learnt")[0] / 3


def test_the_record_says_what_the_run_was(place: Path):
    done = trained(place, "recorded")
    record = json.loads((place / "recorded" / "run.json").read_text("utf-8"))
    assert (record["kind"], record["name"]) == ("head", "by-heart")
    assert record["recipe"]["head"] == "by-heart"
    assert record["recipe"]["frame"]["side"] == 384
    assert record["settings"]["fitting"]["steps"] == 6
    assert record["data"]["train_pairs"] == record["data"]["val_pairs"] == 4
    assert len(record["weights"]["efficientnet-lite0"]["sha256"]) == 64
    assert {"date", "versions", "hardware", "git", "command"} <= record.keys()
    assert record["command"].startswith("geotrain head --config")
    assert "next: geoexport build lite --head" in done.stdout


def test_the_same_seed_gives_the_same_curve(place: Path):
    for out, seed in (("one", 5), ("two", 5), ("three", 6)):
        trained(place, out, "--set", f"fitting.seed={seed}")
    assert losses(place / "one") == losses(place / "two")
    assert losses(place / "one") != losses(place / "three")


def test_a_killed_run_goes_on_to_the_same_numbers(place: Path):
    random = ("--set", "head.dropout=0.2", "--set", "losses.noise=0.1")
    changes = ("--set", "fitting.steps=12", *random)
    trained(place, "whole", *changes)
    command = [sys.executable, "-m", "geoaware.train", *words(place, "killed", *changes)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = place / "killed" / "metrics.jsonl"
    try:
        while process.poll() is None and not (
            metrics.exists() and metrics.read_bytes().count(b"\n") > 4
        ):
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    steps = [row["step"] for row in read_metrics(place / "killed")]
    assert 3 < max(steps) < 12, "killed in the middle"
    assert (place / "killed" / "state.json").exists()
    trained(place, "killed", *changes, "--resume")
    assert losses(place / "killed") == pytest.approx(losses(place / "whole"), rel=1e-4)
    one, other = (load_file(place / run / "last.safetensors") for run in ("whole", "killed"))
    for key in one:
        torch.testing.assert_close(one[key], other[key], rtol=1e-3, atol=1e-4)


def test_only_the_same_run_is_gone_on_with(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Before its first checkpoint, too: its record would be another run's."""
    steps = ("--set", "fitting.steps=2", "--set", "validation.every=1")
    with monkeypatch.context() as cut:
        cut.setattr("geoaware.train.checkpoint.write", _interrupted)
        trained(place, "begun", *steps, status=130)
    record = (place / "begun" / "run.json").read_text("utf-8")
    for changes, named in (
        (
            ("--set", "head.outputs=64"),
            "holds a run with other settings (head.outputs: 128, now 64)",
        ),
        (("--random-weights", "7"), "holds a run with other weights"),
    ):
        done = trained(place, "begun", *steps, *changes, "--resume", status=2)
        assert named in done.stderr
    assert (place / "begun" / "run.json").read_text("utf-8") == record
    trained(place, "begun", *steps, "--resume")


def _interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_two_processes_learn_what_one_does(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Each has a share of the pairs, of which there are an odd number, plain and mirrored."""
    changes = ("--set", "batch.pairs=3", "--set", "mirroring={both: 0}", "--set", "fitting.steps=3")
    trained(place, "alone", *changes)
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    torchrun.main(
        [
            "--standalone", "--nproc-per-node", "2", "-m", "geoaware.train",
            *words(place, "together", *changes),
        ]
    )  # fmt: skip
    assert losses(place / "together") == pytest.approx(losses(place / "alone"), rel=1e-4)
    one, other = (load_file(place / run / "last.safetensors") for run in ("alone", "together"))
    for key in one:
        torch.testing.assert_close(one[key], other[key], rtol=1e-3, atol=1e-4)


def test_a_head_begins_where_another_ended(place: Path):
    trained(place, "first")
    start = ("--set", f"start={place / 'first'}")
    trained(place, "second", *start)
    assert losses(place / "second")[0] < losses(place / "first")[0]
    done = trained(place, "third", *start, "--set", "head.outputs=64", status=2)
    assert done.stderr.endswith("of that head head.outputs is 128, not 64\n")
    assert not (place / "third").exists()


def test_what_cannot_be_trained_is_said_in_a_line(place: Path, monkeypatch: pytest.MonkeyPatch):
    """And before features are extracted, which may take hours."""
    trained(place, "there", "--set", "fitting.steps=1")
    monkeypatch.setattr("geoaware.train.head_training.extract", pytest.fail)
    for options, named in (
        ((), "holds a run; go on with --resume"),
        (("--set", "batch.images=5", "--out", str(place / "x1")), "no category has more than 2"),
        (
            ("--set", "data.categories=[cow]", "--out", str(place / "x2")),
            "no pair of category 'cow'",
        ),
        (("--set", "head.groups=7", "--out", str(place / "x3")), "not divisible into 7 groups"),
        (("--set", "fitting.precision=fp16", "--out", str(place / "x4")), "fp16 is for GPUs"),
        (
            ("--set", "validation.protocol=boxes", "--out", str(place / "x5")),
            "protocol 'boxes' is none of",
        ),
        (("--set", "validation.protocol=all", "--out", str(place / "x10")), "name one"),
        (("--resume", "--out", str(place / "x6")), "holds no run to go on with"),
        (("--set", "start=nowhere", "--out", str(place / "x7")), "start: nowhere: no such file"),
        (("--set", "batch.pairs=5", "--out", str(place / "x8")), "there are only 4 pairs"),
        (("--root", "2024", "--out", str(place / "x9")), "2024"),
    ):
        done = trained(place, "there", *options, status=2)
        [line] = done.stderr.splitlines()
        assert line.startswith("geotrain: error: ")
        assert named in line
    assert not list(place.glob("x*")), "a run that does not begin leaves no folder"


def test_a_run_is_gone_on_with_by_its_own_settings(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither --preset nor --config; and data that are spelt otherwise."""
    begun = place / "own"
    with monkeypatch.context() as cut:
        cut.setattr("geoaware.train.loop._Keeper.validate", _interrupted)
        done = trained(place, "own", status=130)
    assert "interrupted after step 3; --resume" in done.stderr
    words = ["head", "--resume", "--out", str(begun), "--store", str(place / "store")]
    monkeypatch.chdir(place)
    for options, told in ((["--root", "set"], "beginning anew"), ([], "finished already")):
        done = CliRunner().invoke(geotrain, [*words, "--device", "cpu", *options])
        assert done.exit_code == 0, done.output
        assert told in done.stderr
    assert len(losses(begun)) == 6


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "give --preset NAME (geotrain presets lists them), --config FILE, or --resume"),
        (["--preset", "spair", "--config", "a.yaml"], "exclude each other"),
        (["--resume", "--out", "nowhere"], "nowhere: holds no run of geotrain"),
        (["--preset", "animalpose-lite", "--out", "/dev/null/run"], "/dev/null is no folder"),
    ],
)
def test_a_run_needs_settings_and_a_place(options: list[str], told: str):
    done = CliRunner().invoke(geotrain, ["head", "--device", "cpu", *options])
    assert done.exit_code == 2, done.output
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_head_that_diverges_before_a_validation_is_told_of(place: Path):
    fitting = "fitting={learning_rate: 1000, weight_decay: 1.0e+36, schedule: constant, steps: 1}"
    done = trained(place, "diverged", "--set", fitting, status=1)
    assert "step 1: loss or gradient is not finite" in done.stderr


def test_epochs_of_fewer_pairs_than_a_step_are_a_step_each(place: Path):
    batch = ("--set", "batch={images: 2, pairs: 30}")
    trained(place, "short", *batch, "--set", "fitting={epochs: 2}")
    assert len(losses(place / "short")) == 2


def test_own_data_that_has_boxes_is_scored_by_them(place: Path):
    trained(place, "boxes", "--set", "fitting.steps=1", "--set", "validation.protocol=box-strict")
    assert "pck" in read_metrics(place / "boxes")[-1]
