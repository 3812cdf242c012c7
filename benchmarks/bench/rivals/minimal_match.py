"""Matches photographs as a short program of one's own would: PyTorch, NumPy, Pillow, no more.

    python minimal_match.py WEIGHTS SOURCE TARGET …

It finds the points of a 5 x 5 grid over SOURCE in every TARGET and prints the matches of each, as
JSON. What it computes is what `georun match` computes with the bundle `lite`, in fp32.
WEIGHTS is the published checkpoint of EfficientNet-Lite0. No layer is built as a module: the
checkpoint's tensors go straight into the functions, so nothing is initialised in vain.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

SIDE, GRID, POINTS = 512, 32, 5
WINDOW, TEMPERATURE = 9, 0.05
TAPS = {10: 0.7, 12: 0.7, 14: 1.0}
# (blocks, stride of the first) of the stages; the last tap needs no more of them.
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2))

State = dict[str, Tensor]


def main(weights: str, source: str, *targets: str) -> None:
    """Print the matches of one photograph with every other."""
    state = torch.load(weights, map_location="cpu", weights_only=True)
    first, size = features(state, source)
    asked = grid_points(size)
    found = []
    for target in targets:
        second, target_size = features(state, target)
        found.append({"matches": match(first, size, asked, second, target_size)})
    print(json.dumps(found))


def features(state: State, path: str) -> tuple[Tensor, tuple[int, int]]:
    """Descriptors (cells, channels) of a photograph, and its width and height."""
    image = Image.open(path).convert("RGB")
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    x = (torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() - 127) / 128
    maps = []
    for weight, tap in taps(state, x):
        aligned = F.interpolate(tap, size=(GRID, GRID), mode="bilinear", align_corners=False)
        maps.append(weight * F.normalize(aligned[0].flatten(1).T, dim=1))
    return F.normalize(torch.cat(maps, dim=1), dim=1), image.size


def taps(state: State, x: Tensor) -> list[tuple[float, Tensor]]:
    """The weights of the blocks that are looked at, and what these blocks give."""
    found = []
    x = F.relu6(layer(state, "_conv_stem", "_bn0", x, stride=2))
    strides = [1 if repeat else stride for repeats, stride in STAGES for repeat in range(repeats)]
    for number, stride in enumerate(strides):
        x = block(state, f"_blocks.{number}", x, stride)
        if number in TAPS:
            found.append((TAPS[number], x))
    return found


def block(state: State, name: str, x: Tensor, stride: int) -> Tensor:
    """One MBConv block: expand, depthwise, project; a shortcut where the shape stays."""
    y = x
    if f"{name}._expand_conv.weight" in state:
        y = F.relu6(layer(state, f"{name}._expand_conv", f"{name}._bn0", y))
    groups = y.shape[1]
    y = F.relu6(layer(state, f"{name}._depthwise_conv", f"{name}._bn1", y, stride, groups))
    y = layer(state, f"{name}._project_conv", f"{name}._bn2", y)
    return x + y if y.shape == x.shape else y


def layer(
    state: State, conv: str, norm: str, x: Tensor, stride: int = 1, groups: int = 1
) -> Tensor:
    """A convolution padded as TensorFlow's SAME, and its batch normalisation."""
    weight = state[f"{conv}.weight"]
    total = max((-(-x.shape[-1] // stride) - 1) * stride + weight.shape[-1] - x.shape[-1], 0)
    if total:
        low, high = total // 2, total - total // 2
        x = F.pad(x, (low, high, low, high))
    x = F.conv2d(x, weight, stride=stride, groups=groups)
    mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
    return F.batch_norm(x, mean, variance, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-3)


def grid_points(size: tuple[int, int]) -> Tensor:
    """The centres of POINTS x POINTS tiles of a photograph, row by row: (points, 2)."""
    steps = (torch.arange(POINTS, dtype=torch.float64) + 0.5) / POINTS
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1) * torch.tensor(size)


def match(
    source: Tensor,
    source_size: tuple[int, int],
    asked: Tensor,
    target: Tensor,
    target_size: tuple[int, int],
) -> list[dict[str, object]]:
    """Where points of the source are found in the target, how similar, and whether mutually."""
    cells = (asked / torch.tensor(source_size) * GRID).long()
    queries = cells[:, 1] * GRID + cells[:, 0]
    similarity = source[queries] @ target.T
    best, peaks = similarity.max(dim=1)
    mutual = (target[peaks] @ source.T).argmax(dim=1) == queries
    expected = soft_argmax(similarity.view(-1, GRID, GRID), peaks)
    found = (expected + 0.5) / GRID * torch.tensor(target_size)
    columns = asked.tolist(), found.tolist(), best.tolist(), mutual.tolist()
    names = ("source", "target", "similarity", "mutual")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def soft_argmax(maps: Tensor, peaks: Tensor) -> Tensor:
    """The expected cells (points, 2) in a window around the peaks of maps (points, rows, cols)."""
    ys, xs = torch.arange(GRID)[:, None], torch.arange(GRID)[None]
    peak_y, peak_x = peaks[:, None, None] // GRID, peaks[:, None, None] % GRID
    near = ((ys - peak_y).abs() <= WINDOW // 2) & ((xs - peak_x).abs() <= WINDOW // 2)
    scores = maps.masked_fill(~near, -torch.inf) / TEMPERATURE
    weights = scores.flatten(1).softmax(dim=1).view_as(maps)
    return torch.stack([(weights * xs).sum((1, 2)), (weights * ys).sum((1, 2))], dim=1)


if __name__ == "__main__":
    with torch.inference_mode():
        main(*sys.argv[1:])
