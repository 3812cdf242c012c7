"""The objective against the same sums written out, pair by pair and keypoint by keypoint."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from geoaware.export.graphs import Fusion
from geoaware.runtime.recipe import Recipe
from geoaware.train.head import ProjectionHead
from geoaware.train.objective import HeadBatch, HeadObjective
from geoaware.train.settings import Losses

GRID = 6
CHANNELS = (32, 64)
SIDES = (6, 3)


def recipe(keep: float = 0.0) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "summary": "",
            "frame": {"mode": "stretch", "side": 96, "resample": "bilinear"},
            "grid": GRID,
            "backbones": [
                {"name": "efficientnet-lite0", "taps": [{"at": "block10"}, {"at": "block12"}]}
            ],
            "normalise": "tap" if keep else "none",
            "head": "tiny",
            "keep": keep,
            "matching": {},
        }
    )


def objective(settings: Losses, keep: float = 0.0) -> HeadObjective:
    torch.manual_seed(0)
    return HeadObjective(Fusion(recipe(keep), ProjectionHead(CHANNELS, 32, 64)), settings).eval()


@pytest.fixture
def batch() -> HeadBatch:
    generator = torch.Generator().manual_seed(1)

    def cells() -> Tensor:
        return torch.randint(GRID**2, (4, 5), generator=generator)

    visible = torch.tensor([5, 3, 1, 4])[:, None] > torch.arange(5)
    return HeadBatch(
        taps=[
            torch.randn(3, channels, side, side, generator=generator)
            for channels, side in zip(CHANNELS, SIDES, strict=True)
        ],
        source=torch.tensor([0, 1, 2, 0]),
        target=torch.tensor([1, 2, 0, 2]),
        source_cells=cells(),
        target_cells=cells(),
        places=torch.rand(4, 5, 2, generator=generator) * GRID,
        visible=visible,
        weight=torch.tensor([0.4, 0.1, 0.2, 0.3]),
    )


def written_out(made: HeadObjective, batch: HeadBatch) -> dict[str, float]:
    settings = made.settings
    with torch.no_grad():
        maps = made.fusion(*batch.taps).double().flatten(1, 2)
        scale = made.fusion.head.logit_scale.exp().item()
    sums = dict.fromkeys(("contrastive", "dense", "cells"), 0.0)
    for pair in range(len(batch.source)):
        count, weight = int(batch.visible[pair].sum()), batch.weight[pair].item()
        a, b = maps[batch.source[pair]], maps[batch.target[pair]]
        own = [a[cell] for cell in batch.source_cells[pair][:count].tolist()]
        others = [b[cell] for cell in batch.target_cells[pair][:count].tolist()]
        for k in range(count):
            to = torch.tensor([scale * (own[k] @ other).item() for other in others]).double()
            back = torch.tensor([scale * (each @ others[k]).item() for each in own]).double()
            entropy = -(to.log_softmax(0)[k] + back.log_softmax(0)[k]).item() / 2
            similarity = b @ own[k]
            share = torch.softmax(similarity / settings.temperature, 0)
            x = sum(share[cell].item() * (cell % GRID) for cell in range(GRID**2))
            y = sum(share[cell].item() * (cell // GRID) for cell in range(GRID**2))
            truth = batch.places[pair, k].tolist()
            cell = int(batch.target_cells[pair, k])
            log = torch.log_softmax(similarity / settings.cells_temperature, 0)[cell].item()
            sums["contrastive"] += weight * entropy / count
            sums["dense"] += weight * math.dist((x, y), truth) / count
            sums["cells"] -= weight * log / count
    return sums


@pytest.mark.parametrize("keep", [0.0, 0.3])
def test_every_term_is_what_its_definition_gives(batch: HeadBatch, keep: float):
    made = objective(Losses(contrastive=0.7, dense=1.3, cells=0.4), keep)
    total, terms = made(batch)
    expected = written_out(made, batch)
    for name, term in terms.items():
        assert term.item() == pytest.approx(expected[name], rel=2e-4), name
    assert total.item() == pytest.approx(
        0.7 * expected["contrastive"] + 1.3 * expected["dense"] + 0.4 * expected["cells"], rel=2e-4
    )


def test_a_term_of_weight_nothing_is_left_out_and_needs_no_gradient(batch: HeadBatch):
    made = objective(Losses(contrastive=0, dense=0, cells=1))
    total, terms = made(batch)
    assert [*terms] == ["cells"]
    total.backward()
    assert made.fusion.head.logit_scale.grad is None
    trained = [name for name, each in made.named_parameters() if each.requires_grad]
    assert all(dict(made.named_parameters())[name].grad is not None for name in trained)
    assert not any("logit_scale" in name for name in trained)


def test_padding_and_its_content_change_nothing(batch: HeadBatch):
    made = objective(Losses(cells=1))
    more = {
        name: torch.cat(
            [getattr(batch, name), torch.full_like(getattr(batch, name)[:, :2], fill)], 1
        )
        for name, fill in (
            ("source_cells", 7),
            ("target_cells", 3),
            ("places", 1e6),
            ("visible", False),
        )
    }
    assert made(replace(batch, **more))[0].item() == pytest.approx(made(batch)[0].item(), rel=1e-6)


def test_shares_of_a_step_average_to_the_whole(batch: HeadBatch):
    made = objective(Losses(cells=1))
    parts = []
    for rows in (slice(0, None, 2), slice(1, None, 2)):
        chosen = {
            name: getattr(batch, name)[rows]
            for name in ("source", "target", "source_cells", "target_cells", "places", "visible")
        }
        parts.append(made(replace(batch, **chosen, weight=2 * batch.weight[rows]))[0])
    assert torch.stack(parts).mean().item() == pytest.approx(made(batch)[0].item(), rel=1e-5)


def test_the_head_learns_from_every_term(batch: HeadBatch):
    for name in ("contrastive", "dense", "cells"):
        weights = dict.fromkeys(("contrastive", "dense", "cells"), 0.0) | {name: 1.0}
        made = objective(Losses(**weights)).train()
        optimiser = torch.optim.Adam(
            [each for each in made.parameters() if each.requires_grad], 1e-3
        )
        before = made(batch)[0].item()
        for _ in range(10):
            optimiser.zero_grad()
            made(batch)[0].backward()
            optimiser.step()
        assert made(batch)[0].item() < before, name
