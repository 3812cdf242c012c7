"""The projection head against its definition, computed here from a published-style state dict."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from geoaware.runtime.errors import GeoAwareError, InputError
from geoaware.train.head import ProjectionHead

BRANCHES, HIDDEN, OUTPUTS = (32, 48, 40, 64), 32, 64  # the last has as many channels as the result
GRIDS = (12, 6, 3, 12)


def published_state() -> dict[str, Tensor]:
    """Random weights under the names of the published checkpoint; the last branch is identity."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    state = {
        "mixing_weights": random(len(BRANCHES)),
        "logit_scale": torch.tensor(3.0),
        "self_logit_scale": torch.tensor(2.0),
    }
    for index, inputs in enumerate(BRANCHES):
        layers = {
            "shortcut": (OUTPUTS, inputs, 1),
            "conv1": (HIDDEN, inputs, 1),
            "conv2": (HIDDEN, HIDDEN, 3),
            "conv3": (OUTPUTS, HIDDEN, 1),
        }
        if inputs == OUTPUTS:
            del layers["shortcut"]
        for layer, (out, into, kernel) in layers.items():
            name = f"bottleneck_layers.{index}.0.{layer}"
            state[f"{name}.weight"] = random(out, into, kernel, kernel) / math.sqrt(into)
            state[f"{name}.norm.weight"] = 1 + 0.3 * random(out)
            state[f"{name}.norm.bias"] = 0.3 * random(out)
    return state


def taps(batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(batch, channels, grid, grid, generator=generator) * 3 + 1
        for channels, grid in zip(BRANCHES, GRIDS, strict=True)
    ]


def concatenated(taps: list[Tensor], grid: int) -> Tensor:
    size = (grid, grid)
    return torch.cat(
        [F.interpolate(tap, size, mode="bilinear", align_corners=False) for tap in taps], dim=1
    )


def defined(state: dict[str, Tensor], x: Tensor, count: int = 32) -> Tensor:
    """The head, in words: bottlenecks, softmax of the mixing weights, a weighted sum."""

    def layer(name: str, y: Tensor, padding: int = 0) -> Tensor:
        y = F.conv2d(y, state[f"{name}.weight"], padding=padding)
        weight, bias = state[f"{name}.norm.weight"], state[f"{name}.norm.bias"]
        groups = y.reshape(len(y), count, -1)
        mean = groups.mean(dim=2, keepdim=True)
        variance = ((groups - mean) ** 2).mean(dim=2, keepdim=True)
        normed = ((groups - mean) / torch.sqrt(variance + 1e-5)).reshape(y.shape)
        return normed * weight[None, :, None, None] + bias[None, :, None, None]

    shares = torch.exp(state["mixing_weights"]) / torch.exp(state["mixing_weights"]).sum()
    result, start = 0, 0
    for index, channels in enumerate(BRANCHES):
        name = f"bottleneck_layers.{index}.0"
        part = x[:, start : start + channels]
        y = layer(f"{name}.conv1", part).clamp(min=0)
        y = layer(f"{name}.conv2", y, padding=1).clamp(min=0)
        y = layer(f"{name}.conv3", y)
        has_shortcut = f"{name}.shortcut.weight" in state
        y = y + (layer(f"{name}.shortcut", part) if has_shortcut else part)
        result = result + shares[index] * y.clamp(min=0)
        start += channels
    return result


@pytest.fixture(scope="module")
def head() -> ProjectionHead:
    return ProjectionHead.from_state_dict(published_state())


def test_published_weights_give_what_the_definition_gives(head: ProjectionHead):
    x = concatenated(taps(), 12)
    with torch.inference_mode():
        plain, normalized = head(x, normalize=False), head(x)
    expected = defined(published_state(), x)
    torch.testing.assert_close(plain, expected, rtol=1e-4, atol=1e-4)
    norm = torch.sqrt((expected**2).sum(dim=1, keepdim=True))
    torch.testing.assert_close(normalized, expected / norm, rtol=1e-4, atol=1e-5)


def test_other_groups_are_part_of_the_state(head: ProjectionHead):
    assert "groups" not in head.state_dict()
    of_eight = published_state() | {"groups": torch.tensor(8)}
    found = ProjectionHead.from_state_dict(of_eight)
    x = concatenated(taps(), 12)
    with torch.inference_mode():
        plain = found(x, normalize=False)
    torch.testing.assert_close(plain, defined(published_state(), x, 8), rtol=1e-4, atol=1e-4)
    again = load(save(found.state_dict()))
    assert again.keys() == of_eight.keys()
    assert all(torch.equal(again[key], of_eight[key]) for key in again)


@pytest.mark.parametrize("others", [4, 32])
def test_weights_of_other_groups_are_no_weights_of_a_head(others: int):
    state = ProjectionHead(BRANCHES, HIDDEN, OUTPUTS, groups=others).state_dict()
    head = ProjectionHead(BRANCHES, HIDDEN, OUTPUTS, groups=8)
    with pytest.raises(RuntimeError, match="groups"):
        head.load_state_dict(state)
    assert head.state_dict()["groups"] == 8


@pytest.mark.parametrize(
    ("widths", "named"),
    [
        ({"hidden": 40}, "hidden, 40 channels, are not divisible into 32 groups"),
        ({"outputs": 100}, "outputs, 100 channels, are not divisible into 32 groups"),
        ({"hidden": 40, "outputs": 100, "groups": 8}, "outputs, 100 channels.* into 8 groups"),
        ({"groups": 0}, "into 0 groups"),
    ],
)
def test_widths_that_groups_do_not_divide_are_refused(widths: dict[str, int], named: str):
    with pytest.raises(InputError, match=named):
        ProjectionHead(BRANCHES, **widths)


def inputs_of_first_convs(head: ProjectionHead) -> list[Tensor]:
    """A list that fills with what the first convolution of each branch is given."""
    seen: list[Tensor] = []
    for layer in head.bottleneck_layers:
        layer[0].conv1.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    return seen


def test_training_leaves_out_a_share_of_the_values_on_the_grid():
    torch.manual_seed(0)
    head = ProjectionHead(BRANCHES, HIDDEN, OUTPUTS, dropout=0.25)
    head.load_state_dict(published_state())
    given, seen = taps(), inputs_of_first_convs(head)
    head.of_taps(given, 12)
    head(concatenated(given, 12))
    for tap, of_taps, concatenation in zip(given, seen[:4], seen[4:], strict=True):
        whole = concatenated([tap], 12)
        for dropped in (of_taps, concatenation):
            left = dropped != 0
            assert 0.73 < left.float().mean() < 0.77
            torch.testing.assert_close(dropped[left], whole[left] / 0.75)


def test_without_training_dropout_changes_nothing(head: ProjectionHead):
    dropping = ProjectionHead(BRANCHES, HIDDEN, OUTPUTS, dropout=0.25).eval()
    dropping.load_state_dict(published_state())
    seen = inputs_of_first_convs(dropping)
    with torch.inference_mode():
        assert torch.equal(dropping.of_taps(taps(), 12), head.of_taps(taps(), 12))
    assert [each.shape[-1] for each in seen] == list(GRIDS), "each tap is convolved as it is"


def test_one_branch_as_wide_as_the_result_is_a_residual_adapter():
    adapter = ProjectionHead((64,), HIDDEN, 64)
    block = adapter.bottleneck_layers[0][0]
    assert block.shortcut is None
    x = torch.randn(2, 64, 5, 5)
    assert not torch.allclose(adapter(x, normalize=False), F.relu(x))
    with torch.no_grad():
        block.conv3.norm.weight.zero_()
    assert torch.equal(adapter(x, normalize=False), F.relu(x))


def test_an_adapter_may_narrow_to_128_channels():
    adapter = ProjectionHead((384,), hidden=96, outputs=128, groups=16)
    assert adapter.bottleneck_layers[0][0].shortcut is not None
    x = torch.randn(2, 384, 5, 5)
    expected = adapter(x)
    assert expected.shape == (2, 128, 5, 5)
    again = ProjectionHead.from_state_dict(adapter.state_dict())
    assert torch.equal(again(x), expected)


def test_channels_may_lie_last(head: ProjectionHead):
    last = ProjectionHead.from_state_dict(published_state()).to(memory_format=torch.channels_last)
    given = [tap.to(memory_format=torch.channels_last) for tap in taps()]
    with torch.inference_mode():
        found = last.of_taps(given, 12)
        torch.testing.assert_close(found, head.of_taps(taps(), 12), rtol=1e-4, atol=1e-4)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_convolving_before_resizing_gives_the_same(head: ProjectionHead):
    given = taps()
    with torch.inference_mode():
        for grid in (12, 15, 4):
            expected = head(concatenated(given, grid), normalize=False)
            found = head.of_taps(given, grid)
            assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_coarse_taps_are_convolved_on_their_own_grid(head: ProjectionHead):
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        head.of_taps(taps(batch=1), 12)
    multiplications = 0
    for inputs, grid in zip(BRANCHES, GRIDS, strict=True):
        shortcut = 0 if inputs == OUTPUTS else inputs * OUTPUTS
        multiplications += (inputs * HIDDEN + shortcut) * grid**2
        multiplications += (9 * HIDDEN * HIDDEN + HIDDEN * OUTPUTS) * 12**2
    assert counted.get_total_flops() == 2 * multiplications


class OfTaps(nn.Module):
    def __init__(self, head: ProjectionHead, grid: int) -> None:
        super().__init__()
        self.head, self.grid = head, grid

    def forward(self, *taps: Tensor) -> Tensor:
        return self.head.of_taps(taps, self.grid)


def test_the_exported_form_computes_the_same_for_any_batch(head: ProjectionHead, tmp_path: Path):
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        OfTaps(head, 12).eval(),
        tuple(taps()),
        dynamic_shapes=(tuple({0: batch} for _ in BRANCHES),),
        input_names=[f"tap{index}" for index in range(len(BRANCHES))],
        opset_version=20,
        dynamo=True,
        verbose=False,
    )
    program.save(tmp_path / "head.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "head.onnx")
    for count in (1, 3):
        given = taps(count)
        with torch.inference_mode():
            expected = head.of_taps(given, 12).numpy()
        names = [each.name for each in session.get_inputs()]
        feed = {name: tap.numpy() for name, tap in zip(names, given, strict=True)}
        [found] = session.run(None, feed)
        assert abs(found - expected).max() <= 1e-4 * abs(expected).max()
    resized = [node for node in program.model.graph if node.op_type == "Resize"]
    assert len(resized) == 4  # conv1 and shortcut of the two coarse taps


def test_half_precision_normalises_values_whose_norm_overflows():
    state = published_state()
    for key in state:
        if key.endswith("conv3.norm.bias"):
            state[key] = state[key] * 10_000 + 20_000
    x = concatenated(taps(1), 4)
    with torch.inference_mode():
        expected = ProjectionHead.from_state_dict(state)(x)
        found = ProjectionHead.from_state_dict(state).half()(x.half())
    assert found.dtype == torch.float16
    assert ((found.float() * expected).sum(dim=1) > 0.999).all()


def test_by_default_it_is_the_published_head_of_five_million_parameters():
    head = ProjectionHead()
    assert sum(each.numel() for each in head.parameters()) == 5_150_214
    assert head.bottleneck_layers[3][0].shortcut is None
    assert head.state_dict()["bottleneck_layers.1.0.shortcut.weight"].shape == (768, 1280, 1, 1)
    assert head.state_dict()["bottleneck_layers.2.0.conv2.norm.bias"].shape == (192,)
    assert head.logit_scale.exp().item() == pytest.approx(1 / 0.07)
    assert head.mixing_weights.tolist() == [1, 1, 1, 1]


def test_random_weights_tell_cells_apart():
    torch.manual_seed(0)
    x = concatenated(taps(1), 12)
    with torch.inference_mode():
        cells = ProjectionHead(BRANCHES, HIDDEN, OUTPUTS)(x).flatten(2)[0].T
    assert np.triu((cells @ cells.T).numpy(), 1).max() < 0.999


def without(key: str) -> dict[str, Tensor]:
    state = published_state()
    del state[key]
    return state


SHORTCUT = "bottleneck_layers.0.0.shortcut.weight"
BROKEN = {
    "a missing key": (without(SHORTCUT), SHORTCUT),
    "another head's shape": (
        published_state() | {SHORTCUT: torch.zeros(OUTPUTS, 33, 1, 1)},
        rf"{SHORTCUT}.*33.*32",
    ),
    "a branch left out": (without("bottleneck_layers.1.0.conv1.weight"), "conv1.weight"),
    "mixing weights of five": (
        published_state() | {"mixing_weights": torch.ones(5)},
        r"mixing_weights.*\[5\].*\[4\]",
    ),
    "a key too many": (published_state() | {"surplus": torch.ones(1)}, "surplus"),
    "widths no group divides": (
        published_state() | {"bottleneck_layers.0.0.conv3.weight": torch.zeros(60, 32, 1, 1)},
        "60.*divisible",
    ),
    "groups that are no number": (
        published_state() | {"groups": torch.ones(2)},
        "groups is no whole",
    ),
    "another network": ({"blocks.0.norm1.weight": torch.ones(8)}, "blocks.0.norm1.weight"),
    "nothing": ({}, "nothing"),
}


@pytest.mark.parametrize(("state", "named"), BROKEN.values(), ids=BROKEN.keys())
def test_weights_that_do_not_fit_are_refused_by_name(state: dict[str, Tensor], named: str):
    with pytest.raises(GeoAwareError, match="not weights of a projection head") as caught:
        ProjectionHead.from_state_dict(state)
    assert re.search(named, str(caught.value))
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_refused():
    state = published_state()
    state["mixing_weights"][1] = torch.nan
    with pytest.raises(GeoAwareError, match="head is damaged: mixing_weights holds NaN"):
        ProjectionHead.from_state_dict(state)


def test_other_channels_and_other_numbers_of_taps_are_refused(head: ProjectionHead):
    with pytest.raises(InputError, match=r"32, 48, 40, 64 channels, together 184, not 183"):
        head(torch.zeros(1, 183, 4, 4))
    with pytest.raises(InputError, match=r"takes 4 taps of .*, not 3 taps of 32, 48, 40"):
        head.of_taps(taps()[:3], 12)
    with pytest.raises(InputError, match=r"not 4 taps of 48, 32, 40, 64"):
        first, second, *others = taps()
        head.of_taps([second, first, *others], 12)
