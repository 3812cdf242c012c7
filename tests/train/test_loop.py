"""The loop, on a task small enough to know its answer: one line fitted to points."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor, nn

from geoaware.runtime.errors import GeoAwareError, InputError
from geoaware.runtime.files import replacing
from geoaware.train.journal import read_metrics
from geoaware.train.loop import DivergedError, accelerator, fit
from geoaware.train.progress import Progress
from geoaware.train.settings import Fitting


@dataclass
class Points:
    x: Tensor

    def tensors(self) -> dict[str, Tensor]:
        return {"x": self.x}


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 1)
        self.dropout = nn.Dropout(0.3)

    def forward(self, batch: Points) -> tuple[Tensor, dict[str, Tensor]]:
        error = self.layer(self.dropout(batch.x)) - batch.x.sum(dim=1, keepdim=True)
        loss = (error**2).mean()
        return loss, {"squared": loss.detach()}


@dataclass
class Task:
    objective: Line = field(default_factory=Line)
    spoil: int | None = None
    killed_at: int | None = None

    def batch(self, step: int, rank: int, world: int) -> Points:
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        return Points(x * float("nan") if step == self.spoil else x)

    def pairs(self, step: int) -> int:
        if step == self.killed_at:
            raise KeyboardInterrupt
        return 4

    def validate(self) -> dict[str, float]:
        return {"pck": -float((self.objective.layer.weight - 1).abs().sum())}

    def weights(self) -> dict[str, Tensor]:
        return self.objective.state_dict()

    def describe(self, step: int) -> dict[str, Any]:
        return {"drawn": step}


class Scaling(Accelerator):
    """What fp16 is on a GPU, in float32 on the CPU: losses are scaled, gradients scaled back."""

    mixed_precision = "fp16"

    def __init__(self) -> None:
        super().__init__(cpu=True)
        self.native_amp = True
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=7)


def fitted(
    folder: Path,
    task: Task,
    resume: bool = False,
    devices: Accelerator | None = None,
    **changes: Any,
) -> None:
    folder.mkdir(exist_ok=True)
    settings = Fitting(
        **({"steps": 40, "learning_rate": 0.1, "checkpoint_every": 10, "seed": 3} | changes)
    )
    with Progress("line", 40) as progress:
        fit(
            task,
            settings,
            folder,
            settings.model_dump(),
            devices or Accelerator(cpu=True),
            progress,
            validate_every=8,
            resume=resume,
        )


def curve(folder: Path) -> list[tuple[int, dict[str, float]]]:
    return [
        (row["step"], {name: value for name, value in row.items() if name != "time"})
        for row in read_metrics(folder)
    ]


def test_the_same_seed_gives_the_same_curve_and_another_seed_another(tmp_path: Path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        fitted(tmp_path / name, Task(), seed=seed)
    assert curve(tmp_path / "a") == curve(tmp_path / "b")
    assert curve(tmp_path / "a") != curve(tmp_path / "c")


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_a_run_that_was_killed_ends_in_the_same_numbers(tmp_path: Path, schedule: str):
    fitted(tmp_path / "whole", Task(), schedule=schedule)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "cut", Task(killed_at=27), schedule=schedule)
    assert len(curve(tmp_path / "cut")) > 20
    fitted(tmp_path / "cut", Task(), resume=True, schedule=schedule)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    for name in ("best.safetensors", "last.safetensors"):
        one, other = (load_file(tmp_path / run / name) for run in ("whole", "cut"))
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_run_killed_after_any_write_ends_in_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Between the best weights, the last ones, a checkpoint's tensors and its JSON, too."""
    monkeypatch.setattr("geoaware.train.trackers.version_of", lambda package: None)
    short = {"steps": 16, "checkpoint_every": 4}
    fitted(tmp_path / "whole", Task(), **short)
    kept = {path.name for path in (tmp_path / "whole").iterdir()}
    weights = ("best.safetensors", "last.safetensors")
    for count in range(1, 3 * 4 + 1 + 1):  # each of 4 checkpoints is 3 files, a best is one
        with monkeypatch.context() as cut:
            cut.setattr("geoaware.train.checkpoint.replacing", killed_after(count))
            with pytest.raises(KeyboardInterrupt):
                fitted(tmp_path / f"{count}", Task(), **short)
        fitted(tmp_path / f"{count}", Task(), resume=True, **short)
        assert curve(tmp_path / f"{count}") == curve(tmp_path / "whole")
        assert {path.name for path in (tmp_path / f"{count}").iterdir()} == kept
        for name in weights:
            one, other = (load_file(tmp_path / run / name) for run in ("whole", f"{count}"))
            assert all(torch.equal(one[key], other[key]) for key in one)


def killed_after(count: int) -> Callable[[Path], AbstractContextManager[IO[bytes]]]:
    """What writes files whole, until so many are written."""
    left = iter(range(count - 1, -1, -1))

    @contextmanager
    def writing(path: Path) -> Iterator[IO[bytes]]:
        with replacing(path) as file:
            yield file
        if next(left) == 0:
            raise KeyboardInterrupt

    return writing


def test_an_interruption_before_the_first_checkpoint_begins_anew(tmp_path: Path):
    fitted(tmp_path / "whole", Task())
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "cut", Task(killed_at=5))
    fitted(tmp_path / "cut", Task(), resume=True)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path):
    fitted(tmp_path / "run", Task())
    before = curve(tmp_path / "run")
    fitted(tmp_path / "run", Task(), resume=True)
    assert curve(tmp_path / "run") == before


def test_one_checkpoint_is_kept_and_it_is_no_pickle(tmp_path: Path):
    fitted(tmp_path / "run", Task())
    names = sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_file())
    assert names == [
        "best.safetensors",
        "last.safetensors",
        "metrics.jsonl",
        "state-40.safetensors",
        "state.json",
    ]


def test_the_best_step_is_kept_not_the_last(tmp_path: Path):
    task = Task()
    scores = iter([5.0, 9.0, 2.0, 1.0, 0.0])
    seen: list[dict[str, Tensor]] = []

    def validate() -> dict[str, float]:
        seen.append({key: value.clone() for key, value in task.objective.state_dict().items()})
        return {"pck": next(scores)}

    task.validate = validate
    fitted(tmp_path / "run", task)
    best = load_file(tmp_path / "run" / "best.safetensors")
    assert all(torch.equal(best[key], seen[1][key]) for key in best)
    assert not torch.equal(
        best["layer.weight"], load_file(tmp_path / "run" / "last.safetensors")["layer.weight"]
    )


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_its_batch(tmp_path: Path):
    folder = tmp_path / "run"
    with pytest.raises(
        GeoAwareError, match=r"step 13: loss or gradient is not finite.*not_finite\.json"
    ):
        fitted(folder, Task(spoil=12))
    assert json.loads((folder / "not_finite.json").read_text())["batch"] == {"drawn": 12}
    assert torch.isnan(load_file(folder / "not_finite.safetensors")["x"]).all()
    assert len(curve(folder)) >= 12


@pytest.mark.parametrize("step", [8, 40])
def test_weights_that_are_spoilt_before_a_validation_stop_the_run(tmp_path: Path, step: int):
    """A loss would tell only in the step after."""
    folder, task = tmp_path / "run", Task()
    validate = task.validate

    def spoilt() -> dict[str, float]:
        if read_metrics(folder)[-1]["step"] < step:
            return validate()
        with torch.no_grad():
            task.objective.layer.weight.fill_(float("inf"))
        raise GeoAwareError("descriptors hold NaN")

    task.validate = spoilt
    with pytest.raises(DivergedError, match=rf"step {step}: loss or gradient is not finite"):
        fitted(folder, task)
    assert json.loads((folder / "not_finite.json").read_text())["step"] == step


def test_a_validation_that_fails_otherwise_is_no_divergence(tmp_path: Path):
    task = Task()

    def failing() -> dict[str, float]:
        raise GeoAwareError("a.jpg: cannot be read")

    task.validate = failing
    with pytest.raises(GeoAwareError, match=r"a\.jpg"):
        fitted(tmp_path / "run", task)
    assert not (tmp_path / "run" / "not_finite.json").exists()


def test_an_interruption_tells_where_the_run_goes_on_and_so_does_going_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for killed_at, told in ((5, "its beginning"), (27, "step 20")):
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path / f"{killed_at}", Task(killed_at=killed_at))
        said = capsys.readouterr().err
        assert f"interrupted after step {killed_at}; --resume" in said
        assert f"the last checkpoint, {told}\n" in said
    for run, told in (
        ("5", "no checkpoint yet: beginning anew"),
        ("27", "going on from step 20"),
        ("27", "finished already: all 40 steps are done"),
    ):
        fitted(tmp_path / run, Task(), resume=True)
        assert told in capsys.readouterr().err


def test_the_scale_of_fp16_is_gone_on_with(tmp_path: Path):
    whole = Scaling()
    fitted(tmp_path / "whole", Task(), devices=whole)
    assert whole.scaler.get_scale() > 2**16
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "cut", Task(killed_at=27), devices=Scaling())
    resumed = Scaling()
    fitted(tmp_path / "cut", Task(), resume=True, devices=resumed)
    assert resumed.scaler.state_dict() == whole.scaler.state_dict()
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")


def test_gradients_that_no_scale_makes_finite_stop_a_run_in_fp16(tmp_path: Path):
    """The scaler alone would leave out every step of the run, and halve its scale to nothing."""
    task = Task()
    plain = task.objective.forward

    def forward(batch: Points) -> tuple[Tensor, dict[str, Tensor]]:
        loss, terms = plain(batch)
        return loss + (0 * task.objective.layer.weight).abs().sum().sqrt(), terms

    task.objective.forward = forward
    devices = Scaling()
    with pytest.raises(GeoAwareError, match=r"step 18: loss or gradient is not finite"):
        fitted(tmp_path / "run", task, devices=devices)


def test_other_settings_are_no_reason_to_go_on(tmp_path: Path):
    fitted(tmp_path / "run", Task())
    with pytest.raises(InputError, match=r"other settings \(learning_rate: 0\.1, now 0\.2\)"):
        fitted(tmp_path / "run", Task(), resume=True, learning_rate=0.2)


def torn(folder: Path) -> None:
    state = folder / "state-40.safetensors"
    state.write_bytes(state.read_bytes()[:100])


def emptied(folder: Path) -> None:
    (folder / "state.json").write_text("{}")


@pytest.mark.parametrize("damage", [torn, emptied])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: Callable[[Path], None]):
    fitted(tmp_path / "run", Task())
    damage(tmp_path / "run")
    with pytest.raises(GeoAwareError, match=r"state\.json: no checkpoint that can be read"):
        fitted(tmp_path / "run", Task(), resume=True)


def test_one_cycle_rises_for_its_warm_up_and_falls(tmp_path: Path):
    fitted(tmp_path / "run", Task(), warm_up=0.25)
    rates = [row["learning_rate"] for _, row in curve(tmp_path / "run") if "learning_rate" in row]
    assert max(rates) == pytest.approx(0.1, rel=1e-2)
    assert 8 <= rates.index(max(rates)) <= 11
    assert rates[-1] < 0.001


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore"),
            "on the GPU",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "for PyTorch"),
    ],
)
def test_memory_that_does_not_suffice_is_said(tmp_path: Path, error: RuntimeError, where: str):
    task = Task()

    def out_of_memory(*arguments: object) -> None:
        raise error

    task.objective.forward = out_of_memory
    with pytest.raises(GeoAwareError, match=rf"no memory is left {where}.*batch\.pairs"):
        fitted(tmp_path / "run", task)


def test_other_errors_of_pytorch_are_not_taken_for_memory(tmp_path: Path):
    task = Task()
    task.objective.layer = nn.Linear(2, 1)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fitted(tmp_path / "run", task)


def test_a_precision_that_the_device_has_not_is_refused():
    with pytest.raises(InputError, match="fp16 is for GPUs"):
        accelerator(Fitting(steps=1, precision="fp16"), "cpu")
