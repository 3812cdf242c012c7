"""The evaluation that people write: a file of features an image, a loop over pairs, in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from geoaware.runtime.datasets import Pair


def pck(
    pairs: Sequence[Pair], features: Mapping[Path, Path], alpha: float, *, all_cells: bool
) -> float:
    """Percent of keypoints found within alpha of the target's longer side, averaged over pairs.

    features: by image, the file of its descriptors (rows, cols, channels) on a stretched frame.
    all_cells: whether every cell of the source is looked for, or only those of the keypoints.
    """
    shares = []
    with torch.inference_mode():
        for pair in pairs:
            source, target = (
                torch.load(features[side.path]).float() for side in (pair.source, pair.target)
            )
            asked, truth = (
                torch.from_numpy(side.points[pair.mutual]) for side in (pair.source, pair.target)
            )
            found = nearest(source, target, asked / torch.tensor(pair.source.size), all_cells)
            distance = (found * torch.tensor(pair.target.size) - truth).norm(dim=1)
            shares.append((distance <= alpha * max(pair.target.size)).double().mean())
    return float(100 * torch.stack(shares).mean())


def nearest(source: Tensor, target: Tensor, asked: Tensor, all_cells: bool) -> Tensor:
    """Where points (K, 2) of the source are found: the centres of the most similar cells.

    source, target: (rows, cols, channels). Points are shares of an image's width and height.
    """
    rows, columns, _ = source.shape
    size = torch.tensor([columns, rows])
    cells = (asked * size).long().clamp(max=size - 1)
    queries = cells[:, 1] * columns + cells[:, 0]
    a, b = (F.normalize(each.flatten(0, 1), dim=1) for each in (source, target))
    peaks = (a @ b.T).argmax(dim=1)[queries] if all_cells else (a[queries] @ b.T).argmax(dim=1)
    return (torch.stack([peaks % columns, peaks // columns], dim=1) + 0.5) / size
