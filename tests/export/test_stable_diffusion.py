"""Stable Diffusion's taps against diffusers' whole networks, hooked, window by window."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel

from geoaware.export.backbones.stable_diffusion import load
from geoaware.export.backbones.stable_diffusion.architecture import SD15
from geoaware.export.backbones.stable_diffusion.freeu import DEEPEST, MIDDLE, FreeU
from geoaware.export.backbones.stable_diffusion.latents import Noise, signal_share
from geoaware.export.backbones.stable_diffusion.unet import TappedUNet
from geoaware.export.backbones.stable_diffusion.windows import offsets
from geoaware.runtime.errors import InputError
from geoaware.runtime.recipe import BackboneUse

from .tiny_diffusion import image, made, states
from .whole_diffusion import filtered, in_a_loop, taps_of_window


def assert_same(ours: list[torch.Tensor], theirs: dict[str, torch.Tensor], taps: list[str]) -> None:
    assert len(ours) == len(taps)
    for tensor, tap in zip(ours, taps, strict=True):
        torch.testing.assert_close(tensor, theirs[tap], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [2, 3, 4, 7, 8, 16, 32])
@pytest.mark.parametrize("factors", [DEEPEST, MIDDLE])
def test_the_filter_is_that_of_the_fourier_transform(side: int, factors):
    skip = torch.randn(2, 6, side, side, generator=torch.Generator().manual_seed(side))
    _, ours = FreeU(8, side, factors)(torch.zeros(2, 8, side, side), skip)
    torch.testing.assert_close(ours, filtered(skip, factors.skip), rtol=1e-5, atol=1e-6)


def test_on_one_cell_the_filter_scales_what_is_there():
    skip = torch.tensor([[[[3.0]], [[-2.0]]]])
    _, ours = FreeU(8, 1, MIDDLE)(torch.zeros(1, 8, 1, 1), skip)
    torch.testing.assert_close(ours, 0.2 * skip)


@pytest.mark.parametrize("freeu", [True, False])
@pytest.mark.parametrize(("timestep", "seed"), [(50, 42), (261, 7), ("none", 42)])
@torch.inference_mode()
def test_taps_are_those_of_the_whole_network(timestep, seed: int, freeu: bool):
    frame = image(128, batch=1)
    network = made(states(), timestep=timestep, seed=seed, freeu=freeu)
    theirs = taps_of_window(frame, timestep, seed, freeu)
    assert_same(network(frame), theirs, ["s5", "s4", "s3"])


@pytest.mark.parametrize("taps", [("s3",), ("s4", "s5"), ("s5",), ("s3", "s5", "s4")])
@torch.inference_mode()
def test_any_taps_come_in_the_order_asked_for(taps: tuple[str, ...]):
    frame = image(64)
    assert_same(made(states(), 64, taps)(frame), taps_of_window(frame), list(taps))


@pytest.mark.parametrize(
    ("side", "begins", "size"),
    [
        (64, [0], 64),
        (128, [0], 128),
        (192, [0, 64], 128),
        (256, [0, 128], 128),
        (320, [0, 128, 192], 128),
    ],
)
@torch.inference_mode()
def test_stitched_windows_are_those_of_a_loop(side: int, begins: list[int], size: int):
    frame = image(side)
    theirs = in_a_loop(frame, begins, size, taps_of_window)
    assert_same(made(states(), side)(frame), theirs, ["s5", "s4", "s3"])


@pytest.mark.parametrize(
    ("side", "expected"), [(64, [0]), (512, [0]), (960, [0, 448]), (1024, [0, 512])]
)
def test_windows_of_512_begin_where_the_published_system_has_them(side: int, expected: list[int]):
    assert offsets(side, 512) == expected


@pytest.mark.parametrize("side", range(576, 4097, 64))
def test_windows_cover_the_frame_on_whole_cells(side: int):
    begins = offsets(side, 512)
    assert begins[0] == 0
    assert begins[-1] == side - 512
    assert all(begin % 64 == 0 for begin in begins)
    assert all(0 < b - a <= 512 for a, b in pairwise(begins))


@pytest.mark.parametrize("timestep", [0, 1, 50, 261, 999])
def test_the_noise_schedule_is_that_of_the_scheduler(timestep: int):
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    assert signal_share(timestep) == pytest.approx(float(scheduler.alphas_cumprod[timestep]), 1e-5)


def test_the_noise_is_the_seeds_and_the_same_for_all_windows():
    noise = Noise(999, seed=42, side=64)(torch.zeros(3, 4, 64, 64))
    drawn = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(42))
    expected = drawn * (1 - signal_share(999)) ** 0.5
    torch.testing.assert_close(noise, expected.expand(3, -1, -1, -1))


def test_the_real_configurations_have_the_published_sizes():
    with torch.device("meta"):
        whole = UNet2DConditionModel(**SD15.unet)
        truncated = TappedUNet(SD15.unet, ["s3"])
    assert sum(p.numel() for p in whole.parameters()) == 859_520_964
    assert truncated.state_dict().keys() < whole.state_dict().keys()
    assert whole.config.attention_head_dim == 8


@pytest.mark.parametrize(
    ("tap", "gone"),
    [
        (
            "s3",
            ("up_blocks.2.resnets.2", "up_blocks.2.attentions.2", "up_blocks.2.ups", "conv_out"),
        ),
        (
            "s4",
            ("up_blocks.1.resnets.2", "up_blocks.1.attentions.2", "up_blocks.1.ups", "up_blocks.2"),
        ),
        ("s5", ("up_blocks.0.resnets.2", "up_blocks.0.upsamplers", "up_blocks.1")),
    ],
)
def test_nothing_after_the_last_tap_is_kept(tap: str, gone: tuple[str, ...]):
    kept = made(None, 64, (tap,)).state_dict()
    assert not [key for key in kept if any(f"unet.{part}" in key for part in gone)]
    assert not [key for key in kept if "decoder" in key or "text_model" in key]


def test_unknown_taps_and_sides_are_refused():
    with pytest.raises(InputError, match="sd15 has no tap 's2'; it has s5, s4, s3"):
        load(None, BackboneUse(name="sd15", taps=[{"at": "s2"}]), 960)
    for side in (32, 500):
        with pytest.raises(InputError, match=f"a multiple of 64, not {side}"):
            load(None, BackboneUse(name="sd15", taps=[{"at": "s5"}]), side)


@torch.inference_mode()
def test_random_weights_are_the_seeds_and_give_lively_features():
    frame = image(128)
    torch.manual_seed(1)
    first = made(None)(frame)
    torch.manual_seed(1)
    again = made(None)(frame)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
        assert (a.std(dim=0) > 1e-3).float().mean() > 0.5
