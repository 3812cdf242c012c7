"""What `geotrain head` fits: a projection head on stored taps of annotated pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..export.graphs import Fusion
from ..runtime.geometry import Frame, Grid
from ..runtime.recipe import Recipe
from .extraction import Taps
from .mirroring import View, ViewPair
from .objective import HeadBatch, HeadObjective
from .settings import HeadSettings
from .validation import Validator

Draw = Callable[[int], list[ViewPair]]


@dataclass(frozen=True)
class HeadTask:
    """Fits the head inside `objective.fusion`. See `loop.Task`.

    draw: the view pairs of a step, mirrored ones too: a function of the step alone.
    """

    objective: HeadObjective
    draw: Draw
    taps: Taps
    validator: Validator
    settings: HeadSettings

    def batch(self, step: int, rank: int, world: int) -> HeadBatch:
        """This process's share of a step."""
        chosen = self.draw(step)
        noise = self._noise(step, chosen)
        total = sum(each.weight for each in chosen)
        weights = [world * each.weight / total for each in chosen]
        rows = range(rank, len(chosen), world)
        if not rows:  # more processes than pairs: this one looks on
            rows, weights = range(1), [0.0]
        made = _batch(
            [chosen[k] for k in rows],
            [weights[k] for k in rows],
            [noise[k] for k in rows],
            self.taps,
        )
        return made.to(next(self.objective.parameters()).device)

    def pairs(self, step: int) -> int:
        """How many pairs a step is made of, mirrored ones counted too."""
        return len(self.draw(step))

    def validate(self) -> dict[str, float]:
        """PCK of the fused descriptors as they are now."""
        return self.validator.score(lambda path: described(self.objective.fusion, self.taps, path))

    def weights(self) -> dict[str, Tensor]:
        """The head's tensors, by their published names."""
        return self.objective.fusion.head.state_dict()

    def describe(self, step: int) -> dict[str, Any]:
        """The pairs of a step and how they were mirrored."""
        pairs = [
            {"pair": each.name, "weight": each.weight}
            | {
                side: {"image": str(view.path), "mirrored": view.mirrored}
                for side, view in (("source", each.source), ("target", each.target))
            }
            for each in self.draw(step)
        ]
        return {"pairs": pairs}

    def _noise(self, step: int, chosen: Sequence[ViewPair]) -> list[NDArray[np.float64]]:
        """What is added to the places of each pair's target keypoints, in cells."""
        generator = np.random.default_rng([self.settings.fitting.seed, step])
        return [
            generator.normal(size=(int(each.mutual.sum()), 2))
            * (self.settings.losses.noise * _extent(each.target, self.taps.recipe) / 2)
            for each in chosen
        ]


def described(fusion: Fusion, taps: Taps, path: Path) -> tuple[NDArray[np.float32], Frame]:
    """Descriptors (rows, cols, channels) of an image from its stored taps, and its frame."""
    device = next(fusion.parameters(), torch.empty(0)).device
    made = fusion(*(tap[None].to(device).float() for tap in taps.of(path)))
    return made[0].float().cpu().numpy(), taps.frame(path)


def _batch(
    pairs: Sequence[ViewPair],
    weights: Sequence[float],
    noise: Sequence[NDArray[np.float64]],
    taps: Taps,
) -> HeadBatch:
    views = list(
        dict.fromkeys(
            (view.path, view.mirrored) for each in pairs for view in (each.source, each.target)
        )
    )
    row = {view: index for index, view in enumerate(views)}
    columns = zip(*(taps.of(*view) for view in views), strict=True)
    longest = max(int(each.mutual.sum()) for each in pairs)
    source_cells = np.zeros((len(pairs), longest), np.int64)
    target_cells, visible = source_cells.copy(), np.zeros((len(pairs), longest), np.bool_)
    places = np.zeros((len(pairs), longest, 2), np.float32)
    for index, (each, added) in enumerate(zip(pairs, noise, strict=True)):
        mutual = each.mutual
        count = int(mutual.sum())
        for view, cells in ((each.source, source_cells), (each.target, target_cells)):
            grid = _grid(taps.recipe, view)
            cells[index, :count] = grid.numbers(grid.cells(view.points[mutual]))
        grid = _grid(taps.recipe, each.target)
        places[index, :count] = _places(grid, each.target.points[mutual]) + added
        visible[index, :count] = True
    return HeadBatch(
        taps=[torch.stack(column) for column in columns],
        source=torch.tensor([row[each.source.path, each.source.mirrored] for each in pairs]),
        target=torch.tensor([row[each.target.path, each.target.mirrored] for each in pairs]),
        source_cells=torch.from_numpy(source_cells),
        target_cells=torch.from_numpy(target_cells),
        places=torch.from_numpy(places),
        visible=torch.from_numpy(visible),
        weight=torch.tensor(weights, dtype=torch.float32),
    )


def _grid(recipe: Recipe, view: View) -> Grid:
    frame = Frame.fit(recipe.frame.mode, recipe.frame.side, *view.size)
    return Grid(frame, recipe.grid, recipe.grid)


def _places(grid: Grid, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (K, 2) of an image in cells, the centre of cell i at i."""
    return grid.frame.to_frame(points) / (grid.frame.side / grid.columns) - 0.5


def _extent(view: View, recipe: Recipe) -> float:
    """The longer side, in cells, of the object's box, or of the image where it has none."""
    grid = _grid(recipe, view)
    left, top, right, bottom = view.box or (0.0, 0.0, *map(float, view.size))
    corners = _places(grid, np.array([[left, top], [right, bottom]]))
    return float((corners[1] - corners[0]).max())
