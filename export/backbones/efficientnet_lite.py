"""EfficientNet-Lite0 up to its fifteenth block: a CPU-friendly ImageNet network.

Architecture: EfficientNet (Tan and Le, ICML 2019) without squeeze-and-excitation, ReLU6 for
swish, stem and head unscaled; trained on RGB normalised as (x - 127) / 128.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ...runtime.errors import InputError
from ...runtime.recipe import BackboneUse
from ..state_dict import load_into
from . import States

STRIDE = 32

# (repeats, kernel, stride, expansion, channels) of each stage of MBConv blocks.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: output size ceil(input / stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, c, h, w) to (batch, c', ceil(h / stride), ceil(w / stride))."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        pads = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads) if any(pads) else x)


class MBConv(nn.Module):
    """Inverted residual: expand, depthwise, project; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        self.expands, self.shortcut = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self.expand_conv, self.bn0 = SameConv(inputs, hidden, 1), _batch_norm(hidden)
        self.depthwise_conv = SameConv(hidden, hidden, kernel, stride, groups=hidden)
        self.bn1 = _batch_norm(hidden)
        self.project_conv, self.bn2 = SameConv(hidden, outputs, 1), _batch_norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, c, h, w) to (batch, c', ceil(h / stride), ceil(w / stride))."""
        y = F.relu6(self.bn0(self.expand_conv(x))) if self.expands else x
        y = F.relu6(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """The network up to the last block asked for; taps are `block0` to `block15`.

    Blocks 8 to 10 give 112 channels at stride 16, blocks 11 to 14 give 192 at stride 32.
    """

    mean = (127 / 255,) * 3
    std = (128 / 255,) * 3

    def __init__(self, taps: Sequence[str]) -> None:
        super().__init__()
        blocks = _blocks()
        names = [f"block{index}" for index in range(len(blocks))]
        if unknown := [tap for tap in taps if tap not in names]:
            raise InputError(
                f"efficientnet-lite0 has no tap {unknown[0]!r}; it has {names[0]} to {names[-1]}"
            )
        self.taps = [names.index(tap) for tap in taps]
        self.conv_stem, self.bn0 = SameConv(3, 32, 3, stride=2), _batch_norm(32)
        self.blocks = nn.ModuleList(blocks[: max(self.taps) + 1])

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, 3, side, side), normalised, to one (batch, c, h, w) per tap."""
        x = F.relu6(self.bn0(self.conv_stem(image)))
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return [outputs[tap] for tap in self.taps]


def load(states: States | None, use: BackboneUse, side: int) -> EfficientNetLite0:
    """The network with the weights of the `efficientnet-lite-pytorch` checkpoint format."""
    if side % STRIDE:
        raise InputError(f"efficientnet-lite0 needs a frame side divisible by {STRIDE}, not {side}")
    network = EfficientNetLite0([tap.at for tap in use.taps])
    if states is not None:
        plain = {re.sub(r"(^|\.)_", r"\1", key): value for key, value in states["model"].items()}
        load_into(network, plain, ignore=("blocks.", "conv_head.", "bn1.", "fc."))
    return network.eval()


def _blocks() -> list[MBConv]:
    blocks, inputs = [], 32
    for repeats, kernel, stride, expansion, outputs in STAGES:
        for repeat in range(repeats):
            blocks.append(MBConv(inputs, outputs, kernel, 1 if repeat else stride, expansion))
            inputs = outputs
    return blocks


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
