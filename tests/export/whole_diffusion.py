"""What the backbone should compute, by diffusers' whole networks, hooks and plain loops."""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor

from .tiny_diffusion import ENTERING, networks

MODULES = {"s5": 2, "s4": 5, "s3": 8}
STRIDES = {"s5": 64, "s4": 32, "s3": 16}


def filtered(x: Tensor, factor: float) -> Tensor:
    """FreeU's filter as published: the centre of the shifted spectrum times a factor."""
    h, w = x.shape[-2:]
    spectrum = torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1))
    spectrum[..., h // 2 - 1 : h // 2 + 1, w // 2 - 1 : w // 2 + 1] *= factor
    return torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1))).real


def hooked(
    unet: UNet2DConditionModel, latent: Tensor, timestep: int, text: Tensor, freeu: bool, shift=0.0
) -> dict[str, Tensor]:
    """The taps of a whole UNet, read where its resnets take the tensor that enters and the skip."""
    seen: dict[int, Tensor] = {}

    def enter(index: int):
        def hook(_: torch.nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            hidden, skip = args[0][:, : ENTERING[index]], args[0][:, ENTERING[index] :]
            seen[index] = hidden
            if freeu and ENTERING[index] == 64:
                hidden[:, :32] *= 1.2
                skip = filtered(skip, 0.9)
            if freeu and ENTERING[index] == 32:
                hidden[:, :16] *= 1.4
                skip = filtered(skip, 0.2)
            return torch.cat([hidden, skip], dim=1), *args[1:]

        return hook

    resnets = [resnet for block in unet.up_blocks for resnet in block.resnets]
    handles = [each.register_forward_pre_hook(enter(i)) for i, each in enumerate(resnets)]
    handles.append(unet.time_embedding.register_forward_hook(lambda *call: call[2] + shift))
    try:
        unet(latent, timestep, text.expand(len(latent), -1, -1))
    finally:
        for handle in handles:
            handle.remove()
    return {tap: seen[index] for tap, index in MODULES.items()}


def noised(latent: Tensor, timestep: int | str, seed: int) -> Tensor:
    """diffusers' own forward process, with the fixed noise."""
    if timestep == "none":
        return latent
    scheduler = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000
    )
    generator = torch.Generator("cpu").manual_seed(seed)
    noise = torch.randn((1, *latent.shape[1:]), generator=generator)
    return scheduler.add_noise(latent, noise, torch.tensor([timestep]))


def empty_text() -> Tensor:
    """(1, 77, c): CLIP's embedding of nothing, padded with <|endoftext|>."""
    ids = torch.tensor([[49406] + [49407] * 76])
    return networks()["text_encoder"](ids).last_hidden_state


@torch.inference_mode()
def taps_of_window(
    window: Tensor,
    timestep: int | str = 50,
    seed: int = 42,
    freeu: bool = True,
    text=None,
    shift=0.0,
) -> dict[str, Tensor]:
    """The taps of one window (1, 3, side, side)."""
    latent = networks()["vae"].encode(window).latent_dist.mean * 0.18215
    latent = noised(latent, timestep, seed)
    text = empty_text() if text is None else text
    step = 0 if timestep == "none" else timestep
    return hooked(networks()["unet"], latent, step, text, freeu, shift)


def in_a_loop(frame: Tensor, offsets: list[int], size: int, taps_of) -> dict[str, Tensor]:
    """Frames (batch, 3, side, side) window by window; sums divided by counts."""
    side = frame.shape[-1]
    totals, counts = {}, {}
    for y in offsets:
        for x in offsets:
            for index in range(len(frame)):
                taps = taps_of(frame[index : index + 1, :, y : y + size, x : x + size])
                for name, tap in taps.items():
                    s, cells = STRIDES[name], side // STRIDES[name]
                    if name not in totals:
                        totals[name] = torch.zeros(len(frame), tap.shape[1], cells, cells)
                        counts[name] = torch.zeros(len(frame), 1, cells, cells)
                    rows, columns = slice(y // s, (y + size) // s), slice(x // s, (x + size) // s)
                    totals[name][index, :, rows, columns] += tap[0]
                    counts[name][index, :, rows, columns] += 1
    return {name: total / counts[name] for name, total in totals.items()}
