"""DINOv3's taps against its definition, against transformers' network and through ONNX."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from geoaware.export.backbones import dinov3
from geoaware.export.backbones.dinov3 import DinoV3
from geoaware.runtime import GeoAwareError
from geoaware.runtime.errors import InputError
from geoaware.runtime.recipe import BackboneUse, Tap

from . import original_vit
from .original_vit import DEPTH, HEADS, WIDTH, State
from .vit_parity import exported, operators, relative_error

PATCH, SIDE, GRID = 16, 80, 5
QUARTER = WIDTH // HEADS // 4
TAPS = ["block0", "block2", "norm"]
IMAGE = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))

# Of the paper: periods from 1 towards 100, a quarter of a head's channels each for y and x.
PERIODS = torch.tensor([100 ** (index / QUARTER) for index in range(QUARTER)])


def config(side: int = SIDE) -> DINOv3ViTConfig:
    return DINOv3ViTConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        image_size=side,
        patch_size=PATCH,
        num_register_tokens=4,
        attn_implementation="sdpa",
    )


def state() -> State:
    """A checkpoint as Meta's code saves it: periods in bfloat16, biases masked for the keys."""
    extra = {"storage_tokens": (1, 4, WIDTH), "mask_token": (1, 1, WIDTH)}
    weights = original_vit.random_state(PATCH, extra)
    for index in range(DEPTH):
        mask = torch.ones(3 * WIDTH)
        mask[WIDTH : 2 * WIDTH] = 0
        weights[f"blocks.{index}.attn.qkv.bias_mask"] = mask
    return weights | {"rope_embed.periods": PERIODS.bfloat16()}


def network(weights: State, taps: list[str]) -> DinoV3:
    result = DinoV3(config(), taps)
    result.load_checkpoint(weights)
    return result.eval()


def use(*taps: str) -> BackboneUse:
    return BackboneUse(name="dinov3-s", taps=tuple(Tap(at=tap) for tap in taps))


def definition(weights: State, periods: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the network puts out, with RoPE's angles written cell by cell."""
    masked = {
        key: value * weights[f"{key}_mask"] if f"{key}_mask" in weights else value
        for key, value in weights.items()
    }
    angles = []
    for row in range(GRID):
        for column in range(GRID):
            y, x = ((2 * index + 1) / GRID - 1 for index in (row, column))
            angles.append([2 * math.pi * at / float(p) for at in (y, x) for p in periods])
    return original_vit.outputs(masked, IMAGE, None, torch.tensor(angles), eps=1e-5)


def check(network: DinoV3, truth: dict[str, torch.Tensor]) -> None:
    with torch.inference_mode():
        taps = network(IMAGE)
    for name, tap in zip(TAPS, taps, strict=True):
        expected = original_vit.as_map(truth[name], GRID)
        torch.testing.assert_close(tap, expected, rtol=1e-4, atol=1e-4)


NAMES = {
    "cls_token": "embeddings.cls_token",
    "mask_token": "embeddings.mask_token",
    "storage_tokens": "embeddings.register_tokens",
    "patch_embed.proj": "embeddings.patch_embeddings",
    "attn.proj": "attention.o_proj",
    "attn.qkv": "attention",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
    "mlp.fc1": "mlp.up_proj",
    "mlp.fc2": "mlp.down_proj",
}


def as_hub(weights: State) -> State:
    result = {}
    for key, value in weights.items():
        if key.endswith("bias_mask") or key == "rope_embed.periods":
            continue
        new = re.sub("^blocks", "layer", key)
        for ours, theirs in NAMES.items():
            new = new.replace(ours, theirs)
        if "attn.qkv" in key:
            stem, kind = new.rsplit(".", 1)
            for name, part in zip("qkv", value.split(WIDTH), strict=True):
                if (name, kind) != ("k", "bias"):
                    result[f"{stem}.{name}_proj.{kind}"] = part
        else:
            result[new] = value
    return result


def as_transformers(weights: State) -> State:
    return {re.sub("^layer", "model.layer", key): v for key, v in as_hub(weights).items()}


@pytest.mark.parametrize("prefix", ["", "module.", "model.backbone."])
def test_taps_of_an_original_checkpoint_are_the_definition(prefix: str):
    weights = {f"{prefix}{key}": value for key, value in state().items()}
    check(network(weights, TAPS), definition(state(), PERIODS.bfloat16()))


@pytest.mark.parametrize("form", [as_hub, as_transformers])
def test_taps_of_a_hub_checkpoint_are_the_definition_with_exact_periods(form):
    check(network(form(state()), TAPS), definition(state(), PERIODS))


def test_a_timm_checkpoint_without_biases_is_one_whose_biases_are_zero():
    timm, zeroed = {}, state()
    for key, value in state().items():
        if "qkv.bias" in key or key in ("rope_embed.periods", "mask_token"):
            continue
        new = re.sub(r"ls([12])\.gamma", r"gamma_\1", key)
        timm[new.replace("storage_tokens", "reg_token")] = value
    for index in range(DEPTH):
        zeroed[f"blocks.{index}.attn.qkv.bias"].zero_()
    check(network(timm, TAPS), definition(zeroed, PERIODS))


def test_taps_are_what_hooks_see_in_transformers_whole_network():
    theirs = DINOv3ViTModel(config()).eval()
    theirs.load_state_dict(as_transformers(state()))
    seen = {}
    for name, module in [*((f"block{i}", each) for i, each in enumerate(theirs.model.layer)),
                         ("norm", theirs.norm)]:  # fmt: skip
        module.register_forward_hook(lambda _, __, x, name=name: seen.update({name: x}))
    with torch.inference_mode():
        theirs(IMAGE)
    check(network(as_hub(state()), TAPS), seen)


def test_nothing_beyond_the_last_tap_is_kept():
    early = network(state(), ["block1"])
    assert len(early.blocks) == 2
    assert not {"mask_token", "norm.weight"} & set(early.state_dict())


@pytest.mark.parametrize(
    ("name", "published"),
    [("dinov3-s", 21_596_544), ("dinov3-b", 85_660_416), ("dinov3-l", 303_129_600)],
)
def test_sizes_are_the_published_ones(name: str, published: int):
    last = dinov3.SIZES[name]["num_hidden_layers"] - 1
    chosen = BackboneUse(name=name, taps=(Tap(at=f"block{last}"), Tap(at="norm")))
    with torch.device("meta"):
        ours = dinov3.load(None, chosen, 512)
    mask_token = dinov3.SIZES[name]["hidden_size"]
    assert sum(each.numel() for each in ours.parameters()) == published - mask_token
    assert {each.eps for each in ours.modules() if isinstance(each, nn.LayerNorm)} == {1e-5}
    assert ours.blocks[0].attention.head_dim == 64
    assert ours.registers.shape[1] == 4


def test_random_weights_give_lively_features():
    torch.manual_seed(0)
    with torch.inference_mode():
        (tap,) = DinoV3(config(), ["block2"]).eval()(IMAGE)
    assert tap.std(dim=(2, 3)).mean() > 1e-2


def test_unknown_taps_and_sides_are_refused():
    with pytest.raises(InputError, match="no tap 'block12'; it has block0 to block11, and norm"):
        dinov3.load(None, use("block12"), 64)
    with pytest.raises(InputError, match="dinov3-s needs .* by 16, such as 512 or 528, not 518"):
        dinov3.load(None, use("norm"), 518)


def test_weights_of_another_architecture_are_named():
    with pytest.raises(GeoAwareError, match=r"not weights of DinoV3: .*patch.weight is \(32,"):
        dinov3.load({"model": state()}, use("norm"), 64)
    with pytest.raises(GeoAwareError, match=r"left over \(position\)"):
        network(state() | {"pos_embed": torch.zeros(1, 26, WIDTH)}, TAPS)
    unmasked = {key: value for key, value in state().items() if "bias_mask" not in key}
    with pytest.raises(GeoAwareError, match=r"3 left over \(blocks.0.attention.k_proj.bias"):
        network(unmasked, TAPS)
    with pytest.raises(GeoAwareError, match=r"left over \(rope_embed.periods\)"):
        network(state() | {"rope_embed.periods": torch.ones(16)}, TAPS)


@pytest.fixture(scope="module")
def tiny() -> DinoV3:
    return network(state(), TAPS)


@pytest.mark.parametrize("opset", [20, 23])
def test_onnx_computes_the_same(tiny: DinoV3, opset: int, tmp_path: Path):
    file = exported(tiny, SIDE, torch.float32, opset, tmp_path)
    assert relative_error(tiny, file, SIDE, batch=1) < 1e-4
    assert relative_error(tiny, file, SIDE, batch=3) < 1e-4
    found = operators(file)
    assert found["Attention"] == (DEPTH if opset == 23 else 0)
    assert not {"Resize", "Sin", "Cos"} & set(found)


def test_half_precision_stays_close(tiny: DinoV3, tmp_path: Path):
    file = exported(tiny, SIDE, torch.float16, 23, tmp_path)
    assert relative_error(tiny, file, SIDE, batch=2) < 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dinov3-s", "dinov3-b", "dinov3-l"])
def test_onnx_computes_the_same_at_full_size(name: str, tmp_path: Path):
    torch.manual_seed(0)
    last = dinov3.SIZES[name]["num_hidden_layers"] - 1
    chosen = BackboneUse(name=name, taps=(Tap(at=f"block{last}"), Tap(at="norm")))
    full = dinov3.load(None, chosen, 512)
    file = exported(full, 512, torch.float32, 23, tmp_path)
    assert relative_error(full, file, 512, batch=1) < 1e-4
    assert operators(file)["Attention"] == last + 1
