"""What `geotrain finetune` fits: the last blocks of a backbone, on images of annotated pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...runtime import images
from ...runtime.datasets import Pair
from ...runtime.geometry import Frame, Grid
from ...runtime.parallel import default_workers, in_threads
from ...runtime.recipe import Recipe
from ..validation import Validator
from .objective import FinetuneObjective, KeypointBatch
from .unfreezing import Network
from .weights import whole_state


@dataclass(frozen=True)
class FinetuneTask:
    """Fits the backbone inside `objective.features`. See `loop.Task`.

    draw: the pairs of a step: a function of the step alone.
    source: the checkpoint the weights are from; None for random ones.
    """

    objective: FinetuneObjective
    draw: Callable[[int], list[Pair]]
    recipe: Recipe
    validator: Validator
    source: Mapping[str, Tensor] | None

    def batch(self, step: int, rank: int, world: int) -> KeypointBatch:
        """This process's share of a step; one of no weight where there are fewer pairs."""
        drawn = self.draw(step)
        share, weight = drawn[rank::world], world / len(drawn)
        if not share:
            share, weight = drawn[:1], 0.0
        return _batch(share, weight, self.recipe).to(self._device)

    def pairs(self, step: int) -> int:
        """How many pairs a step is made of."""
        return len(self.draw(step))

    def validate(self) -> dict[str, float]:
        """PCK of the descriptors as they are now."""
        with torch.inference_mode():
            return self.validator.score(self._described)

    def weights(self) -> dict[str, Tensor]:
        """The backbone's tensors, for `geoexport build --weights`."""
        return whole_state(self._network, self.source)

    def describe(self, step: int) -> dict[str, Any]:
        """The pairs of a step."""
        drawn = self.draw(step)
        return {
            "pairs": [
                {
                    "pair": each.name,
                    "source": str(each.source.path),
                    "target": str(each.target.path),
                }
                for each in drawn
            ]
        }

    @property
    def _network(self) -> Network:
        [taps] = self.objective.features.backbones
        network: Network = taps.backbone
        return network

    @property
    def _device(self) -> torch.device:
        return next(self.objective.parameters()).device

    def _described(self, path: Path) -> tuple[NDArray[np.float32], Frame]:
        pixels, frame = _in_frame(path, self.recipe)
        made = self.objective.described(torch.from_numpy(pixels)[None].to(self._device))
        return made[0].float().cpu().numpy(), frame


def _batch(pairs: Sequence[Pair], weight: float, recipe: Recipe) -> KeypointBatch:
    """Frames and keypoints of pairs that have this weight each."""
    paths = list(dict.fromkeys(s.path for each in pairs for s in (each.source, each.target)))
    loaded = dict(in_threads(lambda path: _in_frame(path, recipe), paths, default_workers()))
    row = {path: index for index, path in enumerate(paths)}
    columns: list[list[NDArray[Any]]] = []
    for pair in pairs:
        mutual = pair.mutual
        count = int(mutual.sum())
        sides = (pair.source, pair.target)
        rows = [np.full(count, row[side.path]) for side in sides]
        cells = [_cells(side.points[mutual], loaded[side.path][1], recipe) for side in sides]
        columns.append([*rows, *cells, np.full(count, weight / count, np.float32)])
    flat = [torch.from_numpy(np.concatenate(each)) for each in zip(*columns, strict=True)]
    frames = torch.from_numpy(np.stack([loaded[path][0] for path in paths]))
    return KeypointBatch(frames, *flat)


def _in_frame(path: Path, recipe: Recipe) -> tuple[NDArray[np.float32], Frame]:
    """The pixels (3, side, side) that the backbone sees of an image, and the recipe's frame."""
    image = images.load(path)
    [use] = recipe.backbones
    side = recipe.frame.side
    frame = Frame.fit(recipe.frame.mode, side, image.width, image.height)
    return images.to_frame(image, recipe.frame, use.side or side), frame


def _cells(points: NDArray[np.float64], frame: Frame, recipe: Recipe) -> NDArray[np.intp]:
    grid = Grid(frame, recipe.grid, recipe.grid)
    return grid.numbers(grid.cells(points))
