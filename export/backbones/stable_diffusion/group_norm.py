"""Group normalisation that stays exact on large maps, whatever engine runs it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GroupNorm(nn.GroupNorm):
    """torch's GroupNorm, its mean and variance taken row by row and then over the rows.

    onnxruntime's own adds up a group's million values one after the other: at 512 pixels, latents
    came out 4e-4 off where PyTorch's are within 1e-6.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(batch, c, …, w) to the same, every group of channels at mean 0 and variance 1."""
        groups = x.unflatten(1, (self.num_groups, -1))
        centred = groups - _mean(groups)
        spread = torch.rsqrt(_mean(centred.square()) + self.eps)
        shape = (self.num_groups, -1, *[1] * (x.ndim - 2))
        normed = centred * (spread * self.weight.view(shape)) + self.bias.view(shape)
        return normed.flatten(1, 2)


def _mean(groups: Tensor) -> Tensor:
    """The mean of each group of (batch, groups, …, w), its dimensions kept."""
    return groups.mean(-1, keepdim=True).mean(tuple(range(2, groups.ndim)), keepdim=True)


def made_exact(module: nn.Module) -> nn.Module:
    """The module itself, every GroupNorm in it exact, under the same keys."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.GroupNorm:
                device = child.weight.device
                exact = GroupNorm(child.num_groups, child.num_channels, child.eps, device=device)
                setattr(parent, name, exact)
    return module
