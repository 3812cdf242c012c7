"""The loss of the projection head: descriptors of a step's images, compared at their keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from ..export.graphs import Fusion
from . import losses
from .settings import Losses

LARGEST_SCALE = 100.0  # of the logits, as in CLIP


@dataclass(frozen=True)
class HeadBatch:
    """Taps of M views, and P pairs of them with up to K keypoints visible in both.

    taps: per tap (M, c, h, w), float16 or float32.
    source, target: (P,) rows of the pairs' views.
    source_cells, target_cells: (P, K) row-major numbers of the cells that hold the keypoints.
    places: (P, K, 2) the target's keypoints in cells, the centre of cell i at i.
    visible: (P, K) bool; the rest is padding.
    weight: (P,) so that the sum of weight x loss over the pairs, averaged over processes, is the
        weighted mean over all pairs of the step.
    """

    taps: Sequence[Tensor]
    source: Tensor
    target: Tensor
    source_cells: Tensor
    target_cells: Tensor
    places: Tensor
    visible: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> HeadBatch:
        """The batch on a device."""
        moved = {name: value.to(device) for name, value in self._single().items()}
        return HeadBatch(taps=[tap.to(device) for tap in self.taps], **moved)

    def tensors(self) -> dict[str, Tensor]:
        """All of it, by name."""
        taps = {f"tap{index}": tap for index, tap in enumerate(self.taps)}
        return taps | self._single()

    def _single(self) -> Mapping[str, Tensor]:
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "taps"}


class HeadObjective(nn.Module):
    """Fusion with its head, and the loss of its descriptors.

    "Telling Left from Right" (CVPR 2024), section 4: keypoints of a pair against each other, and
    the expected cell of each against the truth. `cells` is the cross-entropy over all of the
    target's cells.
    """

    def __init__(self, fusion: Fusion, settings: Losses) -> None:
        super().__init__()
        assert fusion.head is not None
        self.fusion = fusion
        self.settings = settings
        fusion.head.self_logit_scale.requires_grad_(False)
        fusion.head.logit_scale.requires_grad_(settings.contrastive > 0)

    def forward(self, batch: HeadBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, a scalar, and its terms before they are weighted."""
        maps = self.fusion(*(tap.float() for tap in batch.taps)).float()
        width = maps.shape[2]
        cells = maps.flatten(1, 2)
        source = cells[batch.source[:, None], batch.source_cells]
        terms = {}
        if self.settings.contrastive:
            target = cells[batch.target[:, None], batch.target_cells]
            scale = self.fusion.head.logit_scale.exp().clamp(max=LARGEST_SCALE)
            per_pair = losses.contrastive(source, target, batch.visible, scale)
            terms["contrastive"] = (per_pair * batch.weight).sum()
        if self.settings.dense or self.settings.cells:
            terms |= self._over_the_grid(source, cells, width, batch)
        total = sum(getattr(self.settings, name) * term for name, term in terms.items())
        return total, {name: term.detach() for name, term in terms.items()}

    def _over_the_grid(
        self, source: Tensor, cells: Tensor, width: int, batch: HeadBatch
    ) -> dict[str, Tensor]:
        """The terms that compare each source keypoint with all cells of its target."""
        settings = self.settings
        pairs, rows = batch.visible.nonzero(as_tuple=True)
        # Keypoints of one target lie together: its cells are read once, in one product.
        order = batch.target[pairs].argsort(stable=True)
        pairs, rows = pairs[order], rows[order]
        counts = batch.target[pairs].bincount(minlength=len(cells)).tolist()
        with torch.autocast(cells.device.type, enabled=False):
            parts = zip(source[pairs, rows].split(counts), cells.unbind(), strict=True)
            similarity = torch.cat([part @ view.T for part, view in parts])
        weight = (batch.weight / batch.visible.sum(dim=1))[pairs]
        terms = {}
        if settings.dense:
            truth = batch.places[pairs, rows]
            far = losses.end_point(similarity, width, truth, settings.temperature, settings.window)
            terms["dense"] = (far * weight).sum()
        if settings.cells:
            entropy = losses.cell_entropy(
                similarity, batch.target_cells[pairs, rows], settings.cells_temperature
            )
            terms["cells"] = (entropy * weight).sum()
        return terms
