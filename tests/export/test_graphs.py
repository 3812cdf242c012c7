from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from geoaware.export.graphs import Fusion, Taps, graphs, outputs, run
from geoaware.runtime.recipe import Recipe
from geoaware.train.head import ProjectionHead


def recipe(
    normalise: str = "tap", sides: tuple[int | None, ...] = (None,), grid: int = 4
) -> Recipe:
    """Backbones with two taps each, weighing 1 and 0.5."""
    taps = [{"at": "fine"}, {"at": "coarse", "weight": 0.5}]
    return Recipe.model_validate(
        {
            "name": "toy",
            "summary": "",
            "frame": {"mode": "stretch", "side": 32, "resample": "bilinear"},
            "grid": grid,
            "backbones": [{"name": "toy", "taps": taps, "side": side} for side in sides],
            "normalise": normalise,
            "matching": {},
        }
    )


class Toy(nn.Module):
    """Two average poolings: a fine tap of 3 channels and a coarse one."""

    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [nn.functional.adaptive_avg_pool2d(image, size) for size in (4, 2)]


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def upsampled(x: np.ndarray) -> np.ndarray:
    """2 x 2 to 4 x 4, bilinear with half-pixel centres: quarters and three quarters."""
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    return np.einsum("ia,jb,ncab->ncij", weights, weights, x)


@pytest.mark.parametrize("normalise", ["tap", "backbone", "none"])
def test_fusion_is_what_the_recipe_says(normalise: str):
    random = np.random.default_rng(0)
    fine, coarse = random.standard_normal((2, 3, 4, 4)), random.standard_normal((2, 3, 2, 2))
    fused = Fusion(recipe(normalise))(torch.tensor(fine), torch.tensor(coarse)).numpy()

    parts = [fine, upsampled(coarse)]
    if normalise == "tap":
        parts = [unit(part) for part in parts]
    joined = np.concatenate([parts[0], parts[1] * 0.5], axis=1)
    np.testing.assert_allclose(fused, unit(joined).transpose(0, 2, 3, 1), rtol=1e-6)


def test_normalising_by_backbone_gives_each_the_same_say():
    fusion = Fusion(recipe("backbone", (None, None)))
    loud, quiet = torch.randn(1, 3, 4, 4) * 100, torch.randn(1, 3, 4, 4)
    fused = fusion(loud, loud, quiet, quiet)
    norms = fused.reshape(1, 4, 4, 2, 6).norm(dim=-1)
    torch.testing.assert_close(norms, torch.full_like(norms, 0.5**0.5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_head_takes_the_taps_as_they_are_and_its_output_is_normalised(dtype: torch.dtype):
    head = ProjectionHead((3, 3), hidden=32, outputs=64).eval()
    fine, coarse = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 2, 2)
    joined = torch.cat(
        [fine, 0.5 * nn.functional.interpolate(coarse, size=(4, 4), mode="bilinear")], dim=1
    )
    with torch.inference_mode():
        expected = head(joined)
        fused = Fusion(headed(), head, dtype)(fine, coarse)
    assert fused.dtype == torch.float32
    tolerance = 1e-5 if dtype == torch.float32 else 5e-3
    torch.testing.assert_close(fused.permute(0, 3, 1, 2), expected, rtol=0, atol=tolerance)


def headed(normalise: str = "none", keep: float = 0.0) -> Recipe:
    return Recipe.model_validate(
        recipe(normalise).model_dump() | {"head": "projection", "keep": keep}
    )


@pytest.mark.parametrize("normalise", ["tap", "backbone"])
def test_similarity_is_shared_between_the_taps_kept_and_the_head(normalise: str):
    head = ProjectionHead((3, 3), hidden=32, outputs=64).eval()
    taps = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 2, 2)

    def similarities(fusion: Fusion) -> torch.Tensor:
        cells = fusion(*taps).flatten(1, 2)
        assert cells.dtype == torch.float32
        return cells[0] @ cells[1].T

    with torch.inference_mode():
        kept = similarities(Fusion(headed(normalise, 0.3), head))
        expected = 0.3 * similarities(Fusion(recipe(normalise)))
        expected += 0.7 * similarities(Fusion(headed(), head))
    torch.testing.assert_close(kept, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("keep", [0.0, 0.3])
def test_norms_of_loud_taps_do_not_overflow_in_half(keep: float):
    head = ProjectionHead((3, 3), hidden=32, outputs=64).eval()
    with torch.no_grad():
        for layer in head.bottleneck_layers:
            layer[0].conv3.norm.weight.mul_(5000)
    taps = torch.randn(1, 3, 4, 4) * 5000, torch.randn(1, 3, 2, 2) * 5000
    settings = headed("tap" if keep else "none", keep)
    with torch.inference_mode():
        single = Fusion(settings, head)(*taps)
        half = Fusion(settings, head, torch.float16)(*taps)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, single, rtol=0, atol=5e-3)


@pytest.mark.parametrize("keep", [0.0, 0.3])
def test_a_head_learns_through_fusion(keep: float):
    head = ProjectionHead((3, 3), hidden=32, outputs=64, dropout=0.2)
    fusion = Fusion(headed("tap" if keep else "none", keep), head).train()
    taps = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 2, 2)
    cells = fusion(*taps).flatten(1, 2)
    (cells[0] @ cells[1].T).diagonal().sum().backward()
    learnt = {name for name, each in head.named_parameters() if each.grad is not None}
    assert learnt == {name for name, _ in head.named_parameters()} - {
        "logit_scale", "self_logit_scale"
    }  # fmt: skip
    assert all(each.grad.isfinite().all() for each in head.parameters() if each.grad is not None)


def test_recipes_from_before_keep_are_as_they_were():
    content = headed().model_dump()
    del content["keep"]
    assert Recipe.model_validate(content) == headed()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": "projection"}, "write normalise: none"),
        ({"keep": 0.3}, "keep is the fused taps' share beside a head"),
        ({"head": "projection", "keep": 0.3, "normalise": "none"}, "normalise: tap or backbone"),
        ({"head": "projection", "keep": 1}, "keep\n.*less than 1"),
        ({"head": "toy", "normalise": "none"}, "the head's name, toy, is a backbone's"),
        ({"masks": True}, "one backbone's tap neck"),
        (
            {"backbones": [{"name": "toy", "taps": [{"at": "fine", "weight": math.inf}]}]},
            "weight\n.*finite number",
        ),
    ],
)
def test_recipes_that_do_not_fit_together_are_refused(change: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        Recipe.model_validate(recipe().model_dump() | change)


def test_masks_need_the_first_tap_beside_the_descriptors():
    content = recipe().model_dump() | {"masks": True}
    content["backbones"][0]["taps"] = [{"at": "neck"}]
    masks = Recipe.model_validate(content)
    [part] = graphs(masks, [Neck()])
    assert part.outputs == ["descriptors", "embedding"]
    image = torch.rand(1, 3, 32, 32)
    made = outputs([part], {32: image})
    torch.testing.assert_close(made["embedding"], Neck()((image - 0.5) / 0.25)[0])


class Neck(nn.Module):
    """One average pooling."""

    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [nn.functional.adaptive_avg_pool2d(image, 2)]


class Normed(nn.Module):
    """A norm of values whose squares are beyond the range of half precision."""

    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, 3)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [self.norm(image * 1000)]


def test_norms_stay_in_single_where_the_rest_is_half():
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        [half] = Taps(Normed(), torch.float16)(image)
        [single] = Taps(Normed(), torch.float32)(image)
    torch.testing.assert_close(half, single, rtol=0, atol=5e-3)


def test_one_frame_makes_one_graph_and_several_make_one_each_and_a_fusion():
    one = graphs(recipe(), [Toy()])
    assert [graph.name for graph in one] == ["features"]
    several = graphs(recipe(sides=(32, 64)), [Toy(), Toy()])
    assert [graph.name for graph in several] == ["backbone0", "backbone1", "fusion"]
    assert list(several[2].inputs) == [
        "backbone0.fine", "backbone0.coarse", "backbone1.fine", "backbone1.coarse"
    ]  # fmt: skip


def test_several_graphs_compute_what_one_does():
    images = {side: torch.rand(1, 3, side, side) for side in (32, 64)}
    images[64] = images[32].repeat_interleave(2, 2).repeat_interleave(2, 3)
    one = run(graphs(recipe(sides=(32, 32)), [Toy(), Toy()]), images)
    several = run(graphs(recipe(sides=(32, 64)), [Toy(), Toy()]), images)
    torch.testing.assert_close(one, several)


def test_half_precision_stays_inside_the_backbone():
    part = graphs(recipe(), [Toy()], dtype=torch.float16)[0]
    [descriptors] = part.module(torch.rand(1, 3, 32, 32))
    assert descriptors.dtype == torch.float32
    torch.testing.assert_close(descriptors.norm(dim=-1), torch.ones(1, 4, 4))
