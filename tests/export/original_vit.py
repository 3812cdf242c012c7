"""DINOv2 and DINOv3 written down once more, on the original checkpoints' tensors and their names.

Nothing here is shared with what is tested.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

State = dict[str, Tensor]
WIDTH, HEADS, DEPTH = 32, 2, 3


def random_state(patch: int, extra: dict[str, tuple[int, ...]], gated: bool = False) -> State:
    """A tiny network's checkpoint, random in every part."""
    random = torch.Generator().manual_seed(0)
    hidden, inner = WIDTH * 4, 88
    mlp = {"fc1": (hidden, WIDTH), "fc2": (WIDTH, hidden)}
    if gated:
        mlp = {"w12": (2 * inner, WIDTH), "w3": (WIDTH, inner)}
    matrices = {"attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH)}
    matrices |= {f"mlp.{name}": shape for name, shape in mlp.items()}
    shapes = {"cls_token": (1, 1, WIDTH), "norm.weight": (WIDTH,), "norm.bias": (WIDTH,)}
    shapes |= {"patch_embed.proj.weight": (WIDTH, 3, patch, patch)}
    shapes |= {"patch_embed.proj.bias": (WIDTH,), **extra}
    for index in range(DEPTH):
        block = f"blocks.{index}"
        for name, shape in matrices.items():
            shapes[f"{block}.{name}.weight"], shapes[f"{block}.{name}.bias"] = shape, shape[:1]
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            shapes[f"{block}.{name}"] = (WIDTH,)
        for name in ("ls1.gamma", "ls2.gamma"):
            shapes[f"{block}.{name}"] = (WIDTH,)
    return {key: torch.randn(shape, generator=random) * 0.3 for key, shape in shapes.items()}


def outputs(
    state: State, image: Tensor, position: Tensor | None, angles: Tensor | None, eps: float
) -> dict[str, Tensor]:
    """All tokens (batch, n, c) after each block, and after the norm. `angles`: RoPE, per cell."""
    patch = state["patch_embed.proj.weight"].shape[-1]
    cells = F.conv2d(image, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], patch)
    extra = [state["cls_token"], *([state["storage_tokens"]] if angles is not None else [])]
    x = torch.cat([*(each.repeat(len(image), 1, 1) for each in extra), _rows(cells)], dim=1)
    if position is not None:
        x = x + position
    found = {}
    for index in range(DEPTH):
        stem = f"blocks.{index}."
        block = {k.removeprefix(stem): v for k, v in state.items() if k.startswith(stem)}
        attended = _attention(_normed(x, block, "norm1", eps), block, angles)
        x = x + block["ls1.gamma"] * attended
        x = x + block["ls2.gamma"] * _mlp(_normed(x, block, "norm2", eps), block)
        found[f"block{index}"] = x
    found["norm"] = _normed(x, state, "norm", eps)
    return found


def as_map(tokens: Tensor, grid: int) -> Tensor:
    """The last grid² tokens as (batch, c, grid, grid)."""
    return torch.stack([image[-grid * grid :].T.reshape(-1, grid, grid) for image in tokens])


def bicubic(position: NDArray[np.float64], grid: int, scale: float) -> NDArray[np.float64]:
    """(n, n, c) sampled at (i + 0.5) / scale - 0.5 by cubic convolution, a = -0.75, edges held."""
    n = position.shape[0]
    weights = np.zeros((grid, n))
    for i in range(grid):
        at = (i + 0.5) / scale - 0.5
        for j in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
            weights[i, min(max(j, 0), n - 1)] += _cubic(abs(at - j))
    return np.einsum("ia,jb,abc->ijc", weights, weights, position)


def _cubic(x: float, a: float = -0.75) -> float:
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a


def _rows(grid: Tensor) -> Tensor:
    return torch.stack([each.reshape(len(each), -1).T for each in grid])


def _normed(x: Tensor, state: State, name: str, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    unit = centred / ((centred**2).mean(-1, keepdim=True) + eps).sqrt()
    return unit * state[f"{name}.weight"] + state[f"{name}.bias"]


def _linear(x: Tensor, block: State, name: str) -> Tensor:
    return x @ block[f"{name}.weight"].T + block[f"{name}.bias"]


def _attention(x: Tensor, block: State, angles: Tensor | None) -> Tensor:
    q, k, v = _linear(x, block, "attn.qkv").split(WIDTH, dim=-1)
    size = WIDTH // HEADS
    results = []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        a, b = q[..., part], k[..., part]
        if angles is not None:
            a, b = _turned(a, angles), _turned(b, angles)
        scores = (a @ b.transpose(1, 2) / size**0.5).exp()
        results.append(scores / scores.sum(-1, keepdim=True) @ v[..., part])
    return _linear(torch.cat(results, dim=-1), block, "attn.proj")


def _turned(x: Tensor, angles: Tensor) -> Tensor:
    """Channels i and i + half of the patches, as a complex number, turned by the angle."""
    cells, half = angles.shape
    patches = x[:, -cells:]
    turned = torch.complex(patches[..., :half], patches[..., half:]) * torch.exp(1j * angles)
    return torch.cat([x[:, :-cells], torch.cat([turned.real, turned.imag], dim=-1)], dim=1)


def _mlp(x: Tensor, block: State) -> Tensor:
    if "mlp.w12.weight" in block:
        gate, up = _linear(x, block, "mlp.w12").chunk(2, dim=-1)
        return _linear(gate * torch.sigmoid(gate) * up, block, "mlp.w3")
    hidden = _linear(x, block, "mlp.fc1")
    return _linear(hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5)), block, "mlp.fc2")
