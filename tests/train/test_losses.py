"""The losses against closed forms, finite differences, and the matching they are to improve."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geoaware.kernels import SoftArgmax, reference
from geoaware.train.losses import cell_entropy, contrastive, end_point, soft_argmax

SCALE = 1 / 0.07


def random_unit(*shape: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=-1)


def random_maps(rows: int, cells: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.rand(rows, cells, dtype=torch.float64, generator=torch.manual_seed(seed))
    return 2 * drawn - 1


def all_of(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.bool)


@pytest.mark.parametrize("keypoints", [2, 3, 20])
def test_contrast_of_orthonormal_descriptors(keypoints: int):
    """Logits are s on the diagonal and 0 elsewhere: log(1 + (n - 1) exp(-s)), both ways."""
    same = torch.eye(keypoints, 24)[None]
    loss = contrastive(same, same, all_of(1, keypoints), 3.0)
    assert loss.tolist() == pytest.approx([math.log1p((keypoints - 1) * math.exp(-3))], rel=1e-5)


@pytest.mark.parametrize("swapped", [False, True])
def test_contrast_is_the_mean_of_both_directions(swapped: bool):
    """All n targets are source 0. Along the rows nothing is told apart: log n each. Down every
    column the logits are s, 0, …: log(e^s + n - 1), less s where source 0 is right."""
    sources = torch.eye(3)[None]
    sides = sources, sources[:, :1].expand(1, 3, 3)
    loss = contrastive(*(reversed(sides) if swapped else sides), all_of(1, 3), 2.0)
    down = math.log(math.exp(2) + 2) - 2 / 3
    assert loss.tolist() == pytest.approx([(math.log(3) + down) / 2], rel=1e-6)


@pytest.mark.parametrize("held", [0.0, 1e30, math.nan, math.inf])
def test_padding_changes_neither_loss_nor_gradient(held: float):
    """A pair of 4 keypoints beside one of 2, whose rows lie anywhere among those of 4."""
    source, target = random_unit(2, 4, 8), random_unit(2, 4, 8, seed=1)
    visible = all_of(2, 4)
    visible[1, [0, 2]] = False
    for side in (source, target):
        side[1, [0, 2]] = held
        side.requires_grad_()
    with torch.autograd.set_detect_anomaly(True):
        contrastive(source, target, visible, SCALE).sum().backward()
    for pair, rows in ((0, [0, 1, 2, 3]), (1, [1, 3])):
        alone = [side.detach()[pair, rows][None].requires_grad_() for side in (source, target)]
        loss = contrastive(*alone, all_of(1, len(rows)), SCALE)
        together = contrastive(source, target, visible, SCALE)[pair]
        torch.testing.assert_close(together, loss[0])
        loss.sum().backward()
        for whole, part in zip((source, target), alone, strict=True):
            torch.testing.assert_close(whole.grad[pair, rows], part.grad[0])
    assert (source.grad[1, [0, 2]] == 0).all()
    assert (target.grad[1, [0, 2]] == 0).all()


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_contrast_costs_nothing(count: int):
    source = random_unit(1, 3, 4).requires_grad_()
    visible = torch.arange(3)[None] < count
    loss = contrastive(source, random_unit(1, 3, 4, seed=1), visible, SCALE)
    loss.sum().backward()
    assert loss.tolist() == [0.0]
    assert (source.grad == 0).all()


def test_contrast_does_not_depend_on_the_order_of_keypoints():
    source, target = random_unit(1, 5, 8), random_unit(1, 5, 8, seed=1)
    order = [3, 0, 4, 1, 2]
    torch.testing.assert_close(
        contrastive(source[:, order], target[:, order], all_of(1, 5), SCALE),
        contrastive(source, target, all_of(1, 5), SCALE),
    )


def test_gradients_are_those_of_finite_differences():
    visible = torch.tensor([[True, True, True, False], [True, False, True, False]])
    sides = [random_unit(2, 4, 3, seed=seed).requires_grad_() for seed in (0, 1)]
    scale = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b, s: contrastive(a, b, visible, s), (*sides, scale))
    maps = random_maps(3, 5 * 7).requires_grad_()
    truth = torch.tensor([[0.0, 0.0], [3.5, 2.5], [7.0, -1.0]], dtype=torch.float64)
    for window in (None, 1, 2):
        assert torch.autograd.gradcheck(lambda m, w=window: soft_argmax(m, 7, 0.2, w), maps)
        assert torch.autograd.gradcheck(lambda m, w=window: end_point(m, 7, truth, 0.2, w), maps)
    cells = torch.tensor([0, 17, 34])
    assert torch.autograd.gradcheck(lambda m: cell_entropy(m, cells, 0.1), maps)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.none() | st.integers(1, 10),
    st.sampled_from([0.02, 0.1, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_soft_argmax_is_the_matchers(height, width, window, temperature, seed):
    """Variant `zeroed` in float64; similarities in steps of 1/2 have ties, zeros and negatives."""
    maps = np.random.default_rng(seed).integers(-2, 3, (3, height, width)) / 2
    setting = SoftArgmax(window or 0, temperature, "zeroed")
    found = soft_argmax(torch.from_numpy(maps.reshape(3, -1)), width, temperature, window)
    np.testing.assert_allclose(found, reference.expected_cells(maps, setting), atol=1e-12)


@pytest.mark.parametrize("window", [None, 1, 7])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (4, 2), (6, 0), (3, 4)])
def test_a_single_peak_is_found_and_followed(window: int | None, x: int, y: int):
    maps = torch.zeros(1, 5 * 7)
    maps[0, y * 7 + x] = 1
    torch.testing.assert_close(soft_argmax(maps, 7, 0.02, window), torch.tensor([[x, y]]).float())
    distance = end_point(maps, 7, torch.tensor([[x + 3.0, y - 4.0]]), 0.02, window)
    assert distance.tolist() == pytest.approx([5.0])


@pytest.mark.parametrize("value", [-0.5, 0.0, 1.0])
def test_similarities_all_alike_give_the_middle_of_the_grid(value: float):
    expected = soft_argmax(torch.full((2, 4 * 7), value), 7, 0.02)
    torch.testing.assert_close(expected, torch.tensor([[3.0, 1.5]] * 2))


def test_what_lies_outside_the_window_counts_as_0():
    """Cosines 1, 0.6, 0.8, -1 in a row: the window of 1 around the first keeps the first two."""
    maps = torch.tensor([[1.0, 0.6, 0.8, -1.0]])
    weights = np.exp([1.0, 0.6, 0.0, 0.0])
    expected = weights @ np.arange(4) / weights.sum()
    assert soft_argmax(maps, 4, 1.0, 1).tolist() == [[pytest.approx(expected), 0.0]]


@pytest.mark.parametrize("window", [0, -7])
def test_a_window_that_is_none_is_refused(window: int):
    with pytest.raises(ValueError, match=f"window {window} must be at least 1"):
        soft_argmax(torch.zeros(1, 4), 2, 0.1, window)


def test_the_gradient_at_distance_0_is_finite():
    maps = torch.zeros(1, 3 * 3, requires_grad=True)
    loss = end_point(maps, 3, torch.ones(1, 2), 0.02)
    loss.sum().backward()
    assert loss.tolist() == [0.0]
    assert (maps.grad == 0).all()


def test_descending_the_end_point_error_moves_the_peak_to_the_truth():
    maps = random_maps(4, 6 * 6).requires_grad_()
    truth = torch.tensor([[0.0, 5.0], [2.5, 2.5], [4.0, 1.0], [5.0, 0.0]], dtype=torch.float64)
    optimizer = torch.optim.Adam([maps], lr=0.05)
    before = end_point(maps, 6, truth, 0.1).mean().item()
    for _ in range(60):
        optimizer.zero_grad()
        end_point(maps, 6, truth, 0.1).mean().backward()
        optimizer.step()
    assert end_point(maps, 6, truth, 0.1).mean().item() < 0.1 < 1 < before


def test_entropy_of_cells():
    """Similarities all alike: log(cells). One at s, the others at 0: log(1 + (n - 1) exp(-s/T))."""
    maps = torch.zeros(3, 12)
    maps[1:, 5] = 0.4
    losses = cell_entropy(maps, torch.tensor([3, 5, 0]), 0.1)
    right = math.log1p(11 * math.exp(-4))
    assert losses.tolist() == pytest.approx([math.log(12), right, right + 4], rel=1e-5)


def test_autocast_takes_no_precision_from_them():
    source, target = random_unit(1, 6, 32).float(), random_unit(1, 6, 32, seed=1).float()
    maps, truth = random_maps(6, 60 * 60).float(), torch.full((6, 2), 31.0)

    def losses() -> list[torch.Tensor]:
        return [
            contrastive(source, target, all_of(1, 6), SCALE),
            end_point(maps, 60, truth, 0.02),
            end_point(maps, 60, truth, 0.02, window=7),
            cell_entropy(maps, torch.arange(6), 0.1),
        ]

    with torch.autocast("cpu", torch.bfloat16):
        under = losses()
    for ours, plain in zip(under, losses(), strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, plain)
