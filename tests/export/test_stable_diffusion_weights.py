"""The formats that Stable Diffusion's weights are published in."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from geoaware.runtime.errors import GeoAwareError

from .tiny_diffusion import image, made, networks, states

State = dict[str, Tensor]

OF_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTER = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
OF_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def compvis_unet_key(key: str) -> str:
    """The name of a UNet's tensor in CompVis' code, whose blocks are numbered through."""
    for outer, name in OUTER.items():
        if key.startswith(f"{outer}."):
            return name + key.removeprefix(outer)
    side, block, kind, index, rest = re.fullmatch(
        r"(down|mid|up)_blocks?\.?(\d*)\.(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)",
        key,
    ).groups()
    for part, name in OF_RESNET.items():
        if kind == "resnets" and rest.startswith(f"{part}."):
            rest = name + rest.removeprefix(part)
    i, j = int(block or 0), int(index)
    if side == "mid":
        return f"middle_block.{2 * j if kind == 'resnets' else 1}.{rest}"
    if kind == "downsamplers":
        return f"input_blocks.{3 * i + 3}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        # It follows the attention, which the deepest block does not have.
        return f"output_blocks.{3 * i + 2}.{2 if i else 1}.{rest}"
    number = f"input_blocks.{3 * i + j + 1}" if side == "down" else f"output_blocks.{3 * i + j}"
    return f"{number}.{0 if kind == 'resnets' else 1}.{rest}"


def compvis_vae_key(key: str) -> str:
    """The name of a VAE encoder's tensor in CompVis' code."""
    key = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    key = key.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    if "mid_block.attentions.0." in key:
        for part, name in OF_ATTENTION.items():
            key = key.replace(f"attentions.0.{part}.", f"attentions.0.{name}.")
    return key.replace("mid_block.attentions.0", "mid.attn_1")


def compvis() -> State:
    """The tiny networks as one checkpoint of CompVis' format; of the VAE only what is used."""
    given = states()
    whole = {
        f"model.diffusion_model.{compvis_unet_key(key)}": value
        for key, value in given["unet"].items()
    }
    for key, value in given["vae"].items():
        if key.startswith(("encoder.", "quant_conv.")):
            is_convolution = "mid_block.attentions" in key and value.ndim == 2
            value = value[:, :, None, None] if is_convolution else value
            whole[f"first_stage_model.{compvis_vae_key(key)}"] = value
    for key, value in given["text_encoder"].items():
        whole[f"cond_stage_model.transformer.{key}"] = value
    positions = "cond_stage_model.transformer.text_model.embeddings.position_ids"
    return whole | {positions: torch.arange(77)[None], "betas": torch.zeros(1000)}


def assert_same_taps(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    with torch.inference_mode():
        frame = image(128)
        for a, b in zip(ours(frame), theirs(frame), strict=True):
            assert torch.equal(a, b)


def test_a_compvis_checkpoint_is_the_model_that_diffusers_names_differently():
    assert_same_taps(made({"model": compvis()}), made(states()))


def test_a_unet_beside_a_whole_checkpoint_takes_its_unets_place():
    other = {key: value * 1.1 for key, value in networks()["unet"].state_dict().items()}
    replaced = made({"model": compvis(), "unet": other}, timestep="none")
    assert_same_taps(replaced, made(states() | {"unet": other}, timestep="none"))


def test_the_vae_attentions_old_names_are_understood():
    renamed = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    given = states()
    for new, old in renamed.items():
        given["vae"] = {
            re.sub(rf"(attentions\.0\.){re.escape(new)}\.", rf"\1{old}.", key): value
            for key, value in given["vae"].items()
        }
    assert any("proj_attn" in key for key in given["vae"])
    assert_same_taps(made(given), made(states()))


def test_only_the_parts_in_use_need_to_be_there():
    given = states()
    for role, gone in (("unet", ("conv_out.", "up_blocks.3.")), ("vae", ("decoder.",))):
        given[role] = {k: v for k, v in given[role].items() if not k.startswith(gone)}
    assert_same_taps(made(given), made(states()))


def test_half_precision_weights_become_single():
    given = {role: {k: v.half() for k, v in state.items()} for role, state in states().items()}
    network = made(given)
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
    assert {tensor.dtype for tensor in network.buffers()} == {torch.float32}


@pytest.mark.parametrize("role", ["unet", "vae", "text_encoder"])
def test_a_missing_part_is_named(role: str):
    given = states()
    del given[role]
    with pytest.raises(GeoAwareError, match=f"no '{role}'"):
        made(given)


def test_a_checkpoint_of_something_else_is_refused():
    with pytest.raises(
        GeoAwareError,
        match=r"no key begins with model\.diffusion_model\.; the first are layer\.weight",
    ):
        made({"model": {"layer.weight": torch.zeros(3)}})


def test_weights_of_another_width_are_named():
    given = states()
    key = "down_blocks.0.resnets.0.conv1.weight"
    given["unet"] = given["unet"] | {key: torch.zeros(320, 320, 3, 3)}
    with pytest.raises(
        GeoAwareError, match=rf"TappedUNet.*misshapen \({key} is \(320, 320, 3, 3\)"
    ):
        made(given)
