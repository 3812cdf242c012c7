"""The loop, on a task small enough to know its answer: one line fitted to points."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor, nn

from geoaware.runtime.errors import GeoAwareError, InputError
from geoaware.train.journal import read_metrics
from geoaware.train.loop import fit
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


def fitted(folder: Path, task: Task, resume: bool = False, **changes: Any) -> None:
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
            Accelerator(cpu=True),
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


def test_other_settings_are_no_reason_to_go_on(tmp_path: Path):
    fitted(tmp_path / "run", Task())
    with pytest.raises(InputError, match="other settings"):
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
