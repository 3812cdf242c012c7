"""DINOv2's taps against its definition, against transformers' network and through ONNX."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Dinov2Config, Dinov2Model

from geoaware.export.backbones import dinov2
from geoaware.export.backbones.dinov2 import DinoV2, interpolate_position
from geoaware.runtime import GeoAwareError
from geoaware.runtime.errors import InputError
from geoaware.runtime.recipe import BackboneUse, Tap

from . import original_vit
from .original_vit import DEPTH, HEADS, WIDTH, State
from .vit_parity import exported, operators, relative_error

PATCH, GRID = 14, 4
TAPS = ["block0", "block2", "norm"]
IMAGE = torch.randn(2, 3, 70, 70, generator=torch.Generator().manual_seed(3))


def config(side: int, gated: bool = False) -> Dinov2Config:
    return Dinov2Config(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        image_size=side,
        patch_size=PATCH,
        use_swiglu_ffn=gated,
        attn_implementation="sdpa",
    )


def state(gated: bool = False) -> State:
    """An original checkpoint of a grid of 4 x 4."""
    extra = {"pos_embed": (1, 1 + GRID * GRID, WIDTH), "mask_token": (1, WIDTH)}
    return original_vit.random_state(PATCH, extra, gated)


def network(weights: State, taps: list[str], side: int = 70, gated: bool = False) -> DinoV2:
    result = DinoV2(config(side, gated), taps)
    result.load_checkpoint(weights)
    return result.eval()


def use(*taps: str) -> BackboneUse:
    return BackboneUse(name="dinov2-s", taps=tuple(Tap(at=tap) for tap in taps))


def position_at(weights: State, grid: int) -> torch.Tensor:
    """The position embedding as the original interpolates it, computed by hand in float64."""
    position = weights["pos_embed"][0].double().numpy()
    cells = position[1:].reshape(GRID, GRID, WIDTH)
    if grid != GRID:
        cells = original_vit.bicubic(cells, grid, (grid + 0.1) / GRID)
    return torch.from_numpy(np.concatenate([position[:1], cells.reshape(-1, WIDTH)])[None]).float()


# What each format calls the parts of the original; `qkv` comes apart in transformers'.
HUB = {
    "cls_token": "embeddings.cls_token",
    "mask_token": "embeddings.mask_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "blocks": "encoder.layer",
    "attn.proj": "attention.output.dense",
    "attn.qkv": "attention.attention",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
    "mlp.w12": "mlp.weights_in",
    "mlp.w3": "mlp.weights_out",
}


def as_hub(weights: State, names: tuple[str, ...] = ("query", "key", "value")) -> State:
    result = {}
    for key, value in weights.items():
        for ours, theirs in HUB.items():
            key = key.replace(ours, theirs)
        key = re.sub("^norm", "layernorm", key)
        if key.count("attention.attention"):
            stem, kind = key.rsplit(".", 1)
            for name, part in zip(names, value.split(WIDTH), strict=True):
                result[f"{stem}.{name}.{kind}"] = part
        else:
            result[key] = value
    return result


def as_transformers(weights: State) -> State:
    result = {}
    for key, value in as_hub(weights, ("q_proj", "k_proj", "v_proj")).items():
        key = key.replace("attention.attention", "attention").replace("output.dense", "o_proj")
        if "weights_in" in key:
            gate, up = value.chunk(2)
            result[key.replace("weights_in", "gate_proj")] = gate
            result[key.replace("weights_in", "up_proj")] = up
        else:
            result[key.replace("weights_out", "down_proj")] = value
    return result


def behind(prefix: str, weights: State) -> State:
    """What a larger network that holds this one is saved as."""
    return {f"{prefix}{key}": value for key, value in weights.items()} | {
        "decoder.weight": torch.zeros(2)
    }


FORMATS = {
    "original": lambda weights: weights,
    "hub": as_hub,
    "transformers": as_transformers,
    "transformers with a classifier": lambda weights: behind("dinov2.", as_hub(weights)),
    "fine-tuned": lambda weights: behind("module.backbone.", weights),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("gated", [False, True])
def test_taps_are_the_definition_whatever_the_format_of_the_weights(form: str, gated: bool):
    weights = state(gated)
    ours = network(FORMATS[form](weights), TAPS, gated=gated)
    truth = original_vit.outputs(weights, IMAGE, position_at(weights, 5), None, eps=1e-6)
    with torch.inference_mode():
        taps = ours(IMAGE)
    for name, tap in zip(TAPS, taps, strict=True):
        torch.testing.assert_close(tap, original_vit.as_map(truth[name], 5), rtol=1e-4, atol=1e-4)


def test_taps_are_what_hooks_see_in_transformers_whole_network():
    image = IMAGE[..., :56, :56]
    theirs = Dinov2Model(config(56)).eval()
    theirs.load_state_dict(as_transformers(state()))
    seen = {}
    for name, module in [*((f"block{i}", each) for i, each in enumerate(theirs.encoder.layer)),
                         ("norm", theirs.layernorm)]:  # fmt: skip
        module.register_forward_hook(lambda _, __, x, name=name: seen.update({name: x}))
    with torch.inference_mode():
        theirs(image)
        taps = network(state(), TAPS, side=56)(image)
    for name, tap in zip(TAPS, taps, strict=True):
        torch.testing.assert_close(tap, original_vit.as_map(seen[name], 4), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("grid", [2, 3, 5, 9])
def test_position_is_interpolated_as_the_original_does(grid: int):
    found = interpolate_position(state()["pos_embed"], grid)
    torch.testing.assert_close(found, position_at(state(), grid), rtol=1e-5, atol=1e-5)


def test_position_on_its_own_grid_is_left_alone():
    position = state()["pos_embed"]
    assert torch.equal(interpolate_position(position, GRID), position)


def test_the_norm_tap_is_the_last_block_normalised():
    with torch.inference_mode():
        (last,) = network(state(), ["block2"])(IMAGE)
        alone = network(state(), ["norm"])
        (normalised,) = alone(IMAGE)
        again = alone.norm(last.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(normalised, again)


def test_nothing_beyond_the_last_tap_is_kept():
    early = network(state(), ["block1"])
    assert len(early.blocks) == 2
    assert early.norm is None
    names = " ".join(early.state_dict())
    assert "mask_token" not in names
    assert "norm.weight" not in early.state_dict()


@pytest.mark.parametrize(
    ("name", "published"),
    [("dinov2-s", 22_056_576), ("dinov2-b", 86_580_480), ("dinov2-l", 304_368_640),
     ("dinov2-g", 1_136_480_768)],
)  # fmt: skip
def test_sizes_are_the_published_ones(name: str, published: int):
    last = dinov2.SIZES[name]["num_hidden_layers"] - 1
    chosen = BackboneUse(name=name, taps=(Tap(at=f"block{last}"), Tap(at="norm")))
    with torch.device("meta"):
        ours = dinov2.load(None, chosen, 518)
    mask_token = dinov2.SIZES[name]["hidden_size"]
    assert sum(each.numel() for each in ours.parameters()) == published - mask_token
    assert {each.eps for each in ours.modules() if isinstance(each, nn.LayerNorm)} == {1e-6}
    assert ours.blocks[0].attention.head_dim == 64


def test_random_weights_give_lively_features():
    torch.manual_seed(0)
    with torch.inference_mode():
        (tap,) = DinoV2(config(70), ["block2"]).eval()(IMAGE)
    assert tap.std(dim=(2, 3)).mean() > 1e-2


def test_unknown_taps_and_sides_are_refused():
    with pytest.raises(InputError, match="no tap 'block12'; it has block0 to block11, and norm"):
        dinov2.load(None, use("block12"), 70)
    with pytest.raises(InputError, match="dinov2-s needs .* by 14, such as 504 or 518, not 512"):
        dinov2.load(None, use("norm"), 512)


def test_weights_of_another_architecture_are_named():
    wide = {"model": state()}
    with pytest.raises(GeoAwareError, match=r"not weights of DinoV2: .*patch.weight is \(32,"):
        dinov2.load(wide, use("norm"), 70)
    fewer = {key: value for key, value in state().items() if not key.startswith("blocks.2.")}
    with pytest.raises(GeoAwareError, match=r"18 missing \(blocks.2"):
        network(fewer, TAPS)
    with pytest.raises(GeoAwareError, match=r"1 left over \(registers\)"):
        network(state() | {"register_tokens": torch.zeros(1, 4, WIDTH)}, TAPS)
    with pytest.raises(GeoAwareError, match=r"60 missing .* 1 left over \(unrelated\)"):
        network({"unrelated": torch.zeros(1)}, TAPS)
    with pytest.raises(GeoAwareError, match="2 vision transformers .*'student.', 'teacher.'"):
        network(behind("student.", state()) | behind("teacher.", state()), TAPS)
    with pytest.raises(GeoAwareError, match="not that of a class token and a square grid"):
        network(state() | {"pos_embed": torch.zeros(1, 16, WIDTH)}, TAPS)


@pytest.fixture(scope="module")
def tiny() -> DinoV2:
    return network(state(), TAPS)


@pytest.mark.parametrize("opset", [20, 23])
def test_onnx_computes_the_same(tiny: DinoV2, opset: int, tmp_path: Path):
    file = exported(tiny, 70, torch.float32, opset, tmp_path)
    assert relative_error(tiny, file, 70, batch=1) < 1e-4
    assert relative_error(tiny, file, 70, batch=3) < 1e-4
    found = operators(file)
    assert found["Attention"] == (DEPTH if opset == 23 else 0)
    assert not {"Resize", "Sin", "Cos"} & set(found)


def test_half_precision_stays_close(tiny: DinoV2, tmp_path: Path):
    file = exported(tiny, 70, torch.float16, 23, tmp_path)
    assert relative_error(tiny, file, 70, batch=2) < 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dinov2-s", "dinov2-b", "dinov2-l"])
def test_onnx_computes_the_same_at_full_size(name: str, tmp_path: Path):
    torch.manual_seed(0)
    last = dinov2.SIZES[name]["num_hidden_layers"] - 1
    chosen = BackboneUse(name=name, taps=(Tap(at=f"block{last}"), Tap(at="norm")))
    full = dinov2.load(None, chosen, 518)
    file = exported(full, 518, torch.float32, 23, tmp_path)
    assert relative_error(full, file, 518, batch=1) < 1e-4
    assert operators(file)["Attention"] == last + 1
