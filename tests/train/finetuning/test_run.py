"""Whole runs of `geotrain finetune` and `geotrain sweep` on drawn things, with tiny backbones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from geoaware.export import recipe_files
from geoaware.export.backbones.vit_keys import renamed
from geoaware.export.modules import reference_graphs
from geoaware.export.parts import resolve_all
from geoaware.export.state_dict import read_state
from geoaware.runtime.errors import GeoAwareError
from geoaware.train.checkpoint import write_tensors
from geoaware.train.cli import geotrain
from geoaware.train.cli.finetune import settings_of
from geoaware.train.finetuning.comparison import Result as Outcome
from geoaware.train.finetuning.comparison import verdict
from geoaware.train.finetuning.task import FinetuneTask
from geoaware.train.journal import read_metrics

from ...export.original_vit import DEPTH
from .mugs import draw
from .tiny_backbones import FAMILIES, published, shrink

CHANGES = {"frame": 70, "fitting.steps": 4, "batch.pairs": 2, "fitting.checkpoint_every": 2,
           "validation.every": 2}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the dataset `mugs` and the checkpoint `tiny.safetensors` of a tiny DINOv2."""
    shrink(monkeypatch)
    draw(tmp_path / "mugs")
    write_tensors(tmp_path / "tiny.safetensors", published(FAMILIES["dinov2"]))
    return tmp_path


def called(place: Path, command: str, *options: str, status: int = 0, **changes: object) -> Result:
    """What a command says; of the changes `fitting__steps` is fitting.steps."""
    changed = CHANGES | {key.replace("__", "."): value for key, value in changes.items()}
    words = [command, "dinov2-s", "folder", "--root", str(place / "mugs"), "--device", "cpu"]
    words += ["--weights", f"dinov2-s={place}/tiny.safetensors"]
    words += [word for key, value in changed.items() for word in ("--set", f"{key}={value}")]
    done = CliRunner().invoke(geotrain, [*words, *options])
    assert done.exit_code == status, done.output
    return done


def finetuned(place: Path, run: str, *options: str, status: int = 0, **changes: object) -> Result:
    return called(place, "finetune", "--out", str(place / run), *options, status=status, **changes)


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(folder) if "loss" in row]


def test_it_learns_and_the_exporter_takes_what_was_learnt(place: Path):
    done = finetuned(
        place, "run", fitting__steps=40, fitting__learning_rate=0.003, batch__pairs=6,
        validation__every=40,
    )  # fmt: skip
    found = losses(place / "run")
    assert found[-1] < found[0] / 2
    best = place / "run" / "best.safetensors"
    assert f"--frame 70 --weights dinov2-s={best}" in done.stdout
    recipe = recipe_files.at_side(recipe_files.load("dinov2-s"), 70)
    [graph] = reference_graphs(recipe, resolve_all(recipe, {"dinov2-s": str(best)}))
    [plain] = reference_graphs(
        recipe, resolve_all(recipe, {"dinov2-s": str(place / "tiny.safetensors")})
    )
    frame = torch.rand(1, 3, 70, 70)
    assert (graph.module(frame)[0] - plain.module(frame)[0]).abs().max() > 0.01


def test_what_is_frozen_is_bit_for_bit_what_it_was(place: Path):
    finetuned(place, "run", blocks=1)
    was = renamed(read_state(place / "tiny.safetensors"), DEPTH)
    is_now = read_state(place / "run" / "best.safetensors")
    assert was.keys() == is_now.keys()
    same = {key for key in was if torch.equal(was[key], is_now[key])}
    learnt = {key for key in was if key.startswith((f"blocks.{DEPTH - 1}.", "norm."))}
    assert was.keys() - same == learnt


def test_the_record_says_what_the_run_was(place: Path):
    done = finetuned(place, "run")
    record = json.loads((place / "run" / "run.json").read_text("utf-8"))
    settings = record["settings"]
    assert (record["kind"], settings["blocks"], settings["temperature"]) == ("finetune", 2, 0.1)
    assert settings["fitting"]["weight_decay"] == 0.01
    assert record["parameters"]["learning"] < record["parameters"]["all"]
    assert record["data"]["train_pairs"] == 6
    assert len(record["weights"]["dinov2-s"]["sha256"]) == 64
    assert f"{record['before']['pck']:.1f}" in done.stdout


def test_one_epoch_where_nothing_is_said(place: Path):
    finetuned(place, "run", fitting__steps="null")
    assert len(losses(place / "run")) == 3  # 6 pairs, 2 a step


def test_an_interrupted_run_goes_on_to_the_same_numbers(
    place: Path, monkeypatch: pytest.MonkeyPatch
):
    finetuned(place, "whole")
    with monkeypatch.context() as patched:
        batch = FinetuneTask.batch

        def failing(self: FinetuneTask, step: int, rank: int, world: int) -> object:
            if step == 3:
                raise GeoAwareError("the power is out")
            return batch(self, step, rank, world)

        patched.setattr(FinetuneTask, "batch", failing)
        finetuned(place, "cut", status=1)
    finetuned(place, "cut", "--resume")
    assert losses(place / "cut") == losses(place / "whole")
    one, other = (read_state(place / run / "last.safetensors") for run in ("cut", "whole"))
    assert all(torch.equal(one[key], other[key]) for key in other)


def test_images_that_cannot_be_read_are_left_out_and_told_of(place: Path):
    (place / "mugs" / "0.png").write_bytes(b"no image")
    done = finetuned(place, "run")
    assert "0.png" in done.stderr
    record = json.loads((place / "run" / "run.json").read_text("utf-8"))
    assert record["data"]["train_pairs"] == 2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--set", "blocks=4"], "blocks: 4 is more than the 3 there are to the tap"),
        (["--set", "block=1"], "--set block=1: no such key (nearest: blocks); see geotrain"),
        (["--set", "weights.dinov2-b=x"], "recipe dinov2-s has no such part"),
        (["--set", "data.categories=[car]"], "no pair of category 'car'"),
        (["--set", "batch.pairs=99"], "batch.pairs is 99, and there are only 6 pairs"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(place: Path, options: list[str], problem: str):
    done = finetuned(place, "run", *options, status=2)
    assert problem in done.stderr
    assert not (place / "run").exists()
    assert done.stderr.splitlines()[-1].startswith("geotrain: error: ")


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        ("lite", "efficientnet-lite0 cannot be fine-tuned"),
        ("sd15", "sd15 cannot be fine-tuned"),
        ("sd15+dinov2-b", "fuses sd15, dinov2-b: fine-tune the recipe of one backbone alone"),
        ("sam-b-masks", "recipe sam-b-masks has masks"),
    ],
)
def test_other_recipes_are_refused(place: Path, recipe: str, problem: str):
    done = CliRunner().invoke(
        geotrain, ["finetune", recipe, "folder", "--root", str(place), "--out", str(place / "run")]
    )
    assert done.exit_code == 2
    assert problem in done.stderr


def test_a_sweep_compares_every_combination(place: Path):
    options = ["--blocks", "0,1", "--learning-rate", "1e-3,1e-4", "--out", str(place / "sweep")]
    done = called(place, "sweep", *options)
    content = json.loads((place / "sweep" / "sweep.json").read_text("utf-8"))
    asked = [(each["blocks"], each["learning_rate"]) for each in content["runs"]]
    assert asked == [(0, 1e-3), (0, 1e-4), (1, 1e-3), (1, 1e-4)]
    assert len({each["before"] for each in content["runs"]}) == 1
    assert max(each["best"] for each in content["runs"]) == next(
        each["best"] for each in content["runs"] if each["run"] == content["best"]
    )
    page = (place / "sweep" / "sweep.md").read_text("utf-8")
    assert page.count("\n| ") == 6
    best = max(content["runs"], key=lambda each: each["best"])
    said = "best: {}" if best["best"] > best["before"] else "none gained; the best is {}"
    said = said.format(content["best"])
    assert said[1:] in page
    assert said in done.stdout
    assert "PCK@0.10 (" in page


def test_a_sweep_keeps_what_is_finished_and_adds_what_is_not(place: Path):
    out = ["--out", str(place / "sweep")]
    called(place, "sweep", "--blocks", "1", *out)
    [run] = (each for each in (place / "sweep").iterdir() if each.is_dir())
    before = (run / "best.safetensors").stat().st_mtime_ns, read_metrics(run)
    done = called(place, "sweep", "--blocks", "1,2", "--json", *out)
    assert (run.joinpath("best.safetensors").stat().st_mtime_ns, read_metrics(run)) == before
    assert [each["blocks"] for each in json.loads(done.stdout)["runs"]] == [1, 2]


def test_a_sweep_does_not_go_on_with_other_settings(place: Path):
    out = ["--out", str(place / "sweep")]
    called(place, "sweep", "--blocks", "1", *out)
    done = called(place, "sweep", "--blocks", "1", *out, status=2, fitting__steps=2)
    assert "other settings" in done.stderr


@pytest.mark.parametrize("grid", ["--blocks=1,x", "--blocks=-1", "--blocks=", "--temperature=nan"])
def test_a_grid_of_other_things_than_numbers_is_refused(place: Path, grid: str):
    done = called(place, "sweep", grid, "--out", str(place / "sweep"), status=2)
    assert "geotrain: error:" in done.stderr


def test_a_sweep_with_too_many_blocks_is_refused_before_its_first_run(place: Path):
    done = called(place, "sweep", "--blocks", "1,4", "--out", str(place / "sweep"), status=2)
    assert "blocks: 4 is more than the 3 there are to the tap" in done.stderr
    assert not (place / "sweep").exists()


def test_a_sweep_goes_on_after_a_run_that_diverged(place: Path):
    options = ["--temperature", "1e-40,0.1", "--blocks", "1", "--out", str(place / "sweep")]
    for _ in range(2):
        done = called(place, "sweep", *options)
        content = json.loads((place / "sweep" / "sweep.json").read_text("utf-8"))
        diverged, other = content["runs"]
        assert (diverged["best"], diverged["step"], diverged["diverged"]) == (None, None, True)
        assert other["best"] is not None
        assert not other["diverged"]
        assert content["best"] == other["run"]
        assert "diverged" in done.stdout
    done = called(place, "sweep", *options[2:], "--temperature", "1e-40")
    assert "all diverged; see" in done.stdout
    assert "All diverged." in (place / "sweep" / "sweep.md").read_text("utf-8")


@pytest.mark.parametrize("steps", [1, 4])
def test_a_run_whose_weights_are_spoilt_before_a_validation_diverged(place: Path, steps: int):
    """At its last step, too. The decay is rate x weight_decay: 1e39, and 0.01."""
    changes = {"validation__every": 1, "fitting__steps": steps, "fitting__weight_decay": 1e36}
    options = ["--learning-rate", "1000,1e-38", "--blocks", "1", "--out", str(place / "sweep")]
    called(place, "sweep", *options, **changes)
    diverged, other = json.loads((place / "sweep" / "sweep.json").read_text("utf-8"))["runs"]
    assert (diverged["diverged"], other["diverged"]) == (True, False)


@pytest.mark.parametrize(
    ("found", "said"),
    [(0.0, "none gained; the best is a (0.0 -> 0.0)"), (1.0, "best: b (0.0 -> 1.0)")],
)
def test_a_sweep_says_where_nothing_was_gained(found: float, said: str):
    runs = [
        Outcome(name, 1, 1e-3, 0.1, before=0.0, best=best, step=2, minutes=1.0)
        for name, best in (("a", 0.0), ("b", found))
    ]
    assert verdict(runs) == said


@pytest.fixture
def cut(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that ended before its first checkpoint."""

    def fails(*_: object) -> None:
        raise GeoAwareError("the power is out")

    with monkeypatch.context() as patched:
        patched.setattr(FinetuneTask, "batch", fails)
        finetuned(place, "cut", status=1)
    assert (place / "cut" / "run.json").exists()
    assert not (place / "cut" / "state.json").exists()
    return place / "cut"


def test_a_run_without_a_checkpoint_is_begun_again(cut: Path):
    finetuned(cut.parent, "cut", "--resume")
    assert len(losses(cut)) == CHANGES["fitting.steps"]


def test_a_run_without_a_checkpoint_is_not_gone_on_with_otherwise(cut: Path):
    done = finetuned(cut.parent, "cut", "--resume", status=2, fitting__learning_rate=0.5)
    assert "other settings (fitting.learning_rate: 0.0001, now 0.5)" in done.stderr


def test_a_run_is_gone_on_with_where_its_data_are_spelt_otherwise(
    cut: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(cut)
    finetuned(cut.parent, "cut", "--resume", "--root", "../mugs")


def test_a_run_is_not_gone_on_with_on_other_data(cut: Path):
    draw(cut.parent / "others", seed=1)
    done = finetuned(cut.parent, "cut", "--resume", "--root", str(cut.parent / "others"), status=2)
    assert "holds a run with other data (fingerprints.train: " in done.stderr


def test_a_run_is_not_gone_on_with_from_other_weights(cut: Path):
    state = {key: value + 1 for key, value in published(FAMILIES["dinov2"]).items()}
    write_tensors(cut.parent / "tiny.safetensors", state)
    done = finetuned(cut.parent, "cut", "--resume", status=2)
    assert "its run began from other weights (local:tiny.safetensors)" in done.stderr


def test_a_run_of_a_head_is_not_gone_on_with(cut: Path):
    (cut / "run.json").write_text('{"schema_version": 1, "kind": "head"}', "utf-8")
    done = finetuned(cut.parent, "cut", "--resume", status=2)
    assert "holds no run of geotrain finetune" in done.stderr


@pytest.mark.parametrize(
    ("recipe", "device", "precision"),
    [
        ("sam-b", "auto", "fp16"),
        ("sam-b", "cpu", "fp32"),
        ("dinov2-b", "cuda", "fp32"),
        ("dinov3-b", "cuda", "fp32"),
    ],
)
def test_sam_learns_in_mixed_precision_on_a_gpu(
    recipe: str, device: str, precision: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    asked = {"config": None, "root": None, "setting": None, "sources": (), "seed": None}
    for changes, expected in (((), precision), (("fitting.precision=bf16",), "bf16")):
        found = settings_of(recipe, "folder", changes=changes, device=device, **asked)
        assert found.fitting.precision == expected
