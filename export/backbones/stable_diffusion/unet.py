"""The UNet up to the last tap asked for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from .architecture import Config
from .freeu import DEEPEST, MIDDLE, FreeU

# The module of the up path, counted from 0, that a tap's tensor enters.
TAPS = {"s5": 2, "s4": 5, "s3": 8}

# Pixels of the frame per cell.
STRIDES = {"s5": 64, "s4": 32, "s3": 16}

MODULES_PER_BLOCK = 3

# Keys of a whole UNet that belong to parts left out here, or embedded at build time.
LEFT_OUT = ("time_embedding.", "up_blocks.", "conv_norm_out.", "conv_out.")


class TappedUNet(nn.Module):
    """diffusers' UNet from its latent to the taps; nothing after the last of them.

    Keys of the state dict are diffusers'. A tap is the tensor entering its module of the up path,
    before the skip joins; with FreeU, after FreeU scaled it.
    """

    def __init__(self, config: Config, taps: Sequence[str]) -> None:
        super().__init__()
        whole = UNet2DConditionModel(**config)
        self.taps = [TAPS[tap] for tap in taps]
        self.conv_in, self.down_blocks = whole.conv_in, whole.down_blocks
        self.mid_block = whole.mid_block
        self.up_blocks = _truncated(whole.up_blocks, max(self.taps))
        self.widths = whole.config.block_out_channels
        self.freeu: nn.ModuleList | None = None

    def add_freeu(self, side: int) -> None:
        """FreeU from now on, for latents of this side."""
        self.freeu = _freeu(self.widths, side, max(self.taps))

    def forward(self, latent: Tensor, text: Tensor, time: Tensor) -> list[Tensor]:
        """The taps of noisy latents.

        Args:
            latent: (batch, 4, side, side).
            text: (batch, tokens, c), what cross-attention attends to.
            time: (batch or 1, c), the embedded time step.

        Returns:
            One (batch, c, h, w) per tap, in the order asked for.
        """
        x = self.conv_in(latent)
        skips = [x]
        for block in self.down_blocks:
            attended = {"encoder_hidden_states": text} if hasattr(block, "attentions") else {}
            x, outputs = block(x, time, **attended)
            skips.extend(outputs)
        x = self.mid_block(x, time, encoder_hidden_states=text)
        entering = self._up(x, skips, text, time)
        return [entering[tap] for tap in self.taps]

    def _up(self, x: Tensor, skips: list[Tensor], text: Tensor, time: Tensor) -> list[Tensor]:
        """What enters each module of the up path, up to the last tapped."""
        entering: list[Tensor] = []
        for block in self.up_blocks:
            attentions = getattr(block, "attentions", [None] * len(block.resnets))
            for resnet, attention in zip(block.resnets, attentions, strict=True):
                x, skip = self._enter(len(entering), x, skips.pop())
                entering.append(x)
                x = resnet(torch.cat([x, skip], dim=1), time)
                if attention is not None:
                    x = attention(x, encoder_hidden_states=text, return_dict=False)[0]
            for upsampler in block.upsamplers or ():
                x = upsampler(x)
        last, _ = self._enter(len(entering), x, skips.pop())
        return [*entering, last]

    def _enter(self, index: int, x: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        return (x, skip) if self.freeu is None else self.freeu[index](x, skip)


def _truncated(blocks: nn.ModuleList, last: int) -> nn.ModuleList:
    """The blocks up to, and without, the module of this index: it is the last of its block."""
    kept = blocks[: last // MODULES_PER_BLOCK + 1]
    block = kept[-1]
    block.resnets, block.upsamplers = block.resnets[:-1], None
    if hasattr(block, "attentions"):
        block.attentions = block.attentions[:-1]
    return kept


def _freeu(widths: Sequence[int], side: int, last: int) -> nn.ModuleList:
    """FreeU for the modules up to the last tapped, of a UNet of these widths, finest first.

    What counts is how many channels enter: modules 0 to 6 take what the two deepest levels, of
    1280 channels each, put out; 7 and 8 what the level of 640 does.
    """
    levels = widths[::-1]
    filters = nn.ModuleList()
    for index in range(last + 1):
        level, position = divmod(index, MODULES_PER_BLOCK)
        entering = levels[level if position else max(level - 1, 0)]
        factors = DEEPEST if entering == widths[-1] else MIDDLE
        filters.append(FreeU(entering, side >> (len(levels) - 1 - level), factors))
    return filters
