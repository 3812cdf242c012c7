"""The parts of Stable Diffusion put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ....runtime.errors import InputError
from ....runtime.recipe import BackboneUse, Diffusion
from ...state_dict import load_into
from .architecture import COARSEST_STRIDE, Architecture
from .checkpoint import State, by_role, of_role
from .conditioning import Fixed, Implicit
from .latents import LATENT_STRIDE, LatentEncoder, Noise
from .text import embed_text, embed_time, token_ids
from .unet import LEFT_OUT, STRIDES, TAPS, TappedUNet
from .windows import Windows

Network = TypeVar("Network", bound=nn.Module)


class StableDiffusion(nn.Module):
    """Frames to taps, every window on its own; windows of all frames go as one batch."""

    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def __init__(
        self,
        taps: Sequence[str],
        windows: Windows,
        encoder: LatentEncoder,
        noise: Noise,
        conditioning: Fixed | Implicit,
        unet: TappedUNet,
    ) -> None:
        super().__init__()
        self.strides = [STRIDES[tap] for tap in taps]
        self.windows, self.encoder, self.noise = windows, encoder, noise
        self.conditioning, self.unet = conditioning, unet

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, 3, side, side) in [-1, 1] to one (batch, c, h, w) per tap."""
        windows = self.windows.cut(image)
        latent = self.noise(self.encoder(windows))
        taps = self.unet(latent, *self.conditioning(windows))
        return [
            self.windows.stitch(tap, stride) for tap, stride in zip(taps, self.strides, strict=True)
        ]


def build(
    architecture: Architecture,
    states: Mapping[str, State] | None,
    use: BackboneUse,
    side: int,
    tokenizer: Path | None = None,
) -> StableDiffusion:
    """The taps asked for of an architecture; arguments and errors are those of `load`."""
    taps = [tap.at for tap in use.taps]
    _check(use.name, taps, side)
    diffusion = use.diffusion or Diffusion()
    roles = None
    if states is not None:
        roles = by_role(states, architecture.unet, architecture.vae)
    windows = Windows(side, architecture.window, [STRIDES[tap] for tap in taps])
    latent_side = windows.window // LATENT_STRIDE
    return StableDiffusion(
        taps,
        windows,
        _encoder(architecture, roles),
        Noise(diffusion.timestep if diffusion.noise else "none", diffusion.seed, latent_side),
        _conditioning(architecture, roles, diffusion, tokenizer),
        _unet(architecture, roles, taps, latent_side, diffusion.freeu),
    ).eval()


def _check(name: str, taps: Sequence[str], side: int) -> None:
    if unknown := [tap for tap in taps if tap not in TAPS]:
        raise InputError(f"{name} has no tap {unknown[0]!r}; it has {', '.join(TAPS)}")
    if side < COARSEST_STRIDE or side % COARSEST_STRIDE:
        raise InputError(
            f"{name} needs a frame side that is a multiple of {COARSEST_STRIDE}, not {side}"
        )


def _encoder(architecture: Architecture, roles: Mapping[str, State] | None) -> LatentEncoder:
    def make() -> LatentEncoder:
        return LatentEncoder(architecture.vae, architecture.vae_scale)

    return _filled(make, roles, "vae", ignore=("decoder.", "post_quant_conv."))


def _unet(
    architecture: Architecture,
    roles: Mapping[str, State] | None,
    taps: Sequence[str],
    side: int,
    freeu: bool,
) -> TappedUNet:
    unet = _filled(lambda: TappedUNet(architecture.unet, taps), roles, "unet", ignore=LEFT_OUT)
    if freeu:
        unet.add_freeu(side)
    return unet


def _conditioning(
    architecture: Architecture,
    roles: Mapping[str, State] | None,
    diffusion: Diffusion,
    tokenizer: Path | None,
) -> Fixed | Implicit:
    timestep = 0 if diffusion.timestep == "none" else diffusion.timestep
    width = architecture.unet["block_out_channels"][0]
    time = embed_time(width, None if roles is None else of_role(roles, "unet"), timestep)
    text = _text(architecture, roles, diffusion.caption or "", tokenizer)
    if diffusion.conditioning != "implicit":
        return Fixed(text, time)
    implicit = Implicit(text, time, architecture.vision)
    if roles is not None:
        ignore = ("text_model.", "text_projection.", "logit_scale", "vision_model.embeddings.posi")
        load_into(implicit.clip, of_role(roles, "clip"), ignore)
        load_into(implicit.captioner, of_role(roles, "captioner"))
    return implicit


def _text(
    architecture: Architecture,
    roles: Mapping[str, State] | None,
    caption: str,
    tokenizer: Path | None,
) -> Tensor:
    config = architecture.text
    length = config.max_position_embeddings
    if roles is None:
        return torch.randn(1, length, config.hidden_size)
    state = of_role(roles, "text_encoder")
    return embed_text(config, state, token_ids(caption, length, tokenizer))


def _filled(
    make: Callable[[], Network],
    roles: Mapping[str, State] | None,
    role: str,
    ignore: Sequence[str],
) -> Network:
    """A network with the weights of a role; random where none come.

    If they come it is constructed nowhere first, for the time that initialising takes.
    """
    if roles is None:
        return make()
    with torch.device("meta"):
        network = make()
    network.to_empty(device="cpu")
    load_into(network, of_role(roles, role), ignore)
    return network
