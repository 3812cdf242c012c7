"""The loss of fine-tuning: in which cell of the target does a keypoint of the source lie?"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from ...export.graphs import WholeRecipe
from ..losses import cell_entropy


@dataclass(frozen=True)
class KeypointBatch:
    """M frames, and N keypoints visible in both images of a pair.

    frames: (M, 3, side, side), RGB in [0, 1].
    source, target: (N,) rows of the frames the keypoints lie in.
    source_cells, target_cells: (N,) row-major numbers of the cells that hold them.
    weight: (N,) of each keypoint. A sum with these weights, averaged over processes, is the mean
        over the step's pairs of the mean over a pair's keypoints.
    """

    frames: Tensor
    source: Tensor
    target: Tensor
    source_cells: Tensor
    target_cells: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> KeypointBatch:
        """The batch on a device."""
        return KeypointBatch(**{name: x.to(device) for name, x in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """All of it, by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class FinetuneObjective(nn.Module):
    """Frames to descriptors, as the recipe makes them, and the loss of these.

    Cross-entropy over all cells of the target, of cosine similarity divided by a temperature, for
    every keypoint of the source. An image that several keypoints or pairs share is computed once.
    """

    def __init__(self, features: WholeRecipe, temperature: float) -> None:
        super().__init__()
        self.features, self.temperature = features, temperature

    def forward(self, batch: KeypointBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, a scalar, and its one term."""
        cells = self.described(batch.frames).flatten(1, 2)
        with torch.autocast(cells.device.type, enabled=False):  # it would round the similarities
            loss = cells.new_zeros(())
            for frame in batch.target.unique():
                rows = batch.target == frame
                source = cells[batch.source[rows], batch.source_cells[rows]]
                entropy = cell_entropy(
                    source @ cells[frame].T, batch.target_cells[rows], self.temperature
                )
                loss = loss + (batch.weight[rows] * entropy).sum()
        return loss, {"cells": loss.detach()}

    def described(self, frames: Tensor) -> Tensor:
        """Descriptors (M, grid, grid, channels) in float32, unit norm, of frames."""
        [descriptors] = self.features(frames)
        return descriptors
