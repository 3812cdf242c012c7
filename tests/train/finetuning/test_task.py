"""A step: which images are computed, what its loss is, and how it is shared among processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from geoaware.export import recipe_files
from geoaware.export.modules import reference_graphs
from geoaware.export.parts import resolve_all
from geoaware.runtime.datasets import Pair, read
from geoaware.runtime.recipe import Recipe
from geoaware.train.finetuning.objective import FinetuneObjective
from geoaware.train.finetuning.task import FinetuneTask
from geoaware.train.finetuning.unfreezing import unfreeze
from geoaware.train.settings import Validation
from geoaware.train.validation import Validator

from .mugs import SIZE, draw
from .tiny_backbones import shrink

TEMPERATURE = 0.1


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    return list(read("folder", draw(tmp_path / "mugs"), "train").pairs)


def task_of(name: str, side: int, pairs: list[Pair], blocks: int = 1) -> FinetuneTask:
    recipe = recipe_files.at_side(recipe_files.load(name), side)
    [graph] = reference_graphs(recipe, resolve_all(recipe, {}, seed=0))
    unfreeze(graph.module.backbones[0].backbone, blocks, None)
    objective = FinetuneObjective(graph.module, TEMPERATURE)
    validator = Validator("folder", pairs, recipe.matching, Validation())
    return FinetuneTask(objective, lambda step: pairs, recipe, validator, None)


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch, pairs: list[Pair]) -> FinetuneTask:
    shrink(monkeypatch)
    return task_of("dinov2-s", 70, pairs)


def test_an_image_is_computed_once_whatever_number_of_pairs_show_it(
    task: FinetuneTask, pairs: list[Pair]
):
    images = {side.path for pair in pairs for side in (pair.source, pair.target)}
    assert len(pairs) > len(images) == 3
    assert task.batch(0, 0, 1).frames.shape == (3, 3, 70, 70)


def cell(recipe: Recipe, point: tuple[float, float]) -> int:
    column, row = (int(recipe.grid * point[axis] / SIZE[axis]) for axis in (0, 1))
    return row * recipe.grid + column


@torch.inference_mode()
def test_the_loss_is_the_entropy_of_the_target_cell(task: FinetuneTask, pairs: list[Pair]):
    batch = task.batch(0, 0, 1)
    found, terms = task.objective(batch)
    losses = []
    for pair in pairs:
        source, target = (
            task._described(side.path)[0].reshape(25, -1).astype(np.float64)
            for side in (pair.source, pair.target)
        )
        each = []
        for start, end in zip(pair.source.points, pair.target.points, strict=True):
            logits = target @ source[cell(task.recipe, start)] / TEMPERATURE
            each.append(np.log(np.exp(logits).sum()) - logits[cell(task.recipe, end)])
        losses.append(np.mean(each))
    assert found.item() == pytest.approx(np.mean(losses), rel=1e-5)
    assert terms["cells"].item() == found.item()


@pytest.mark.parametrize("world", [2, 4, 7])
def test_processes_share_a_step(task: FinetuneTask, world: int):
    whole, _ = task.objective(task.batch(0, 0, 1))
    whole.backward()
    expected = [p.grad.clone() for p in task.objective.parameters() if p.requires_grad]
    task.objective.zero_grad()
    shares = [task.objective(task.batch(0, rank, world))[0] for rank in range(world)]
    (sum(shares) / world).backward()
    assert sum(share.item() for share in shares) / world == pytest.approx(whole.item(), rel=1e-5)
    for one, several in zip(
        expected, (p.grad for p in task.objective.parameters() if p.requires_grad), strict=True
    ):
        torch.testing.assert_close(several, one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "blocks"), [("dinov2-s", 2), ("dinov3-s", 3), ("sam-b", 4)])
def test_backbones_of_full_width_learn_in_mixed_precision(
    name: str, blocks: int, pairs: list[Pair]
):
    task = task_of(name, 56 if name == "dinov2-s" else 64, pairs[:1], blocks)
    learning = [p for p in task.objective.parameters() if p.requires_grad]
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = task.objective(task.batch(0, 0, 1))
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in learning)
    frozen = [p for p in task.objective.parameters() if not p.requires_grad]
    assert frozen
    assert all(p.grad is None for p in frozen)


def test_a_step_is_described_by_its_pairs(task: FinetuneTask, pairs: list[Pair]):
    told = task.describe(0)["pairs"]
    assert [each["pair"] for each in told] == [pair.name for pair in pairs]
    assert told[0]["source"] == str(pairs[0].source.path)
