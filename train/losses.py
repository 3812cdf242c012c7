"""What training minimises. Every loss gives one value per row: means and weights are the caller's.

The first two are those of "Telling Left from Right" (CVPR 2024), the last is how backbones are
fine-tuned. Tensors are float32 (float64 stays float64), and nothing is computed in less under
autocast.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive(source: Tensor, target: Tensor, visible: Tensor, scale: Tensor | float) -> Tensor:
    """Symmetric cross-entropy between descriptors at a pair's corresponding keypoints, as CLIP's.

    With z[i, j] = scale * <source[i], target[j]> over the n visible keypoints of a pair:
    loss = 1/2n * sum_k (-log softmax(z[k, :])[k] - log softmax(z[:, k])[k]).

    source, target: (P, K, C), unit norm. visible: (P, K) bool, in both images; the other rows are
    padding, which may hold anything. scale: exp(logit_scale).

    Returns (P,): 0 for a pair with fewer than two visible keypoints, which contrasts nothing.
    """
    padding = ~visible
    source = source.masked_fill(padding[..., None], 0)
    target = target.masked_fill(padding[..., None], 0)
    with torch.autocast(source.device.type, enabled=False):
        logits = scale * (source @ target.mT)
    # not -inf: the softmax of a row of padding would be NaN, which autograd's anomaly mode stops at
    nowhere = padding[:, :, None] | padding[:, None, :]
    logits = logits.masked_fill(nowhere, torch.finfo(logits.dtype).min)
    found = logits.log_softmax(dim=2) + logits.log_softmax(dim=1)
    hits = found.diagonal(dim1=1, dim2=2).masked_fill(padding, 0)
    return -hits.sum(dim=1) / (2 * visible.sum(dim=1).clamp(min=1))


def soft_argmax(
    similarity: Tensor, width: int, temperature: float, window: int | None = None
) -> Tensor:
    """Expected cell of softmax(similarity / temperature) over the grid.

    similarity: (N, cells), row-major, `width` cells to a row. window: similarities further than
    this many cells from the peak, to any side, become 0 first, as in variant `zeroed` of
    `geoaware.kernels.SoftArgmax`; None keeps all.

    Returns (N, 2), x and y in cells; whole numbers are cell centres. Raises ValueError for a
    window below 1.
    """
    if window is not None:
        similarity = _zeroed(similarity, width, window)
    weights = (similarity / temperature).softmax(dim=1)
    weights = weights.reshape(len(weights), similarity.shape[1] // width, width)
    of_columns, of_rows = weights.sum(dim=1), weights.sum(dim=2)
    return torch.stack([_mean_place(of_columns), _mean_place(of_rows)], dim=1)


def end_point(
    similarity: Tensor,
    width: int,
    truth: Tensor,
    temperature: float,
    window: int | None = None,
) -> Tensor:
    """Euclidean distance, in cells, of the expected cell from the true place: (N,).

    truth: (N, 2), x and y in cells, cell i's centre at i. The rest is as for `soft_argmax`. The
    gradient at distance 0 is 0.
    """
    expected = soft_argmax(similarity, width, temperature, window)
    distance: Tensor = torch.linalg.vector_norm(expected - truth, dim=1)
    return distance


def cell_entropy(similarity: Tensor, cells: Tensor, temperature: float) -> Tensor:
    """-log softmax(similarity / temperature) at the true cell: (N,).

    similarity: (N, cells). cells: (N,) row-major numbers. Cosines *multiplied* by a temperature
    of 10, as one also finds it written, are divided by 0.1 here.
    """
    return F.cross_entropy(similarity / temperature, cells, reduction="none")


def _zeroed(similarity: Tensor, width: int, window: int) -> Tensor:
    """Similarities (N, cells), 0 outside the (2 window + 1)^2 cells around each row's highest."""
    if window < 1:
        raise ValueError(f"window {window} must be at least 1, or None to keep every similarity")
    numbers = torch.arange(similarity.shape[1], device=similarity.device)
    peaks = similarity.argmax(dim=1, keepdim=True)
    across = (numbers % width - peaks % width).abs()
    down = (numbers // width - peaks // width).abs()
    return similarity.masked_fill(torch.maximum(across, down) > window, 0)


def _mean_place(weights: Tensor) -> Tensor:
    """sum_i i * weights[:, i]: (N,). No matrix product: autocast would round it."""
    places = torch.arange(weights.shape[1], dtype=weights.dtype, device=weights.device)
    return (weights * places).sum(dim=1)
