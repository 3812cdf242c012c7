"""A recipe in PyTorch eager: what the bundles are compared with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from geoaware.export import graphs
from geoaware.export.modules import reference_graphs
from geoaware.export.parts import resolve_all
from geoaware.runtime.images import to_frame
from geoaware.runtime.recipe import Recipe

Extract = Callable[[Image.Image], NDArray[np.float32]]
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


def pytorch(recipe: Recipe, normalisation: Normalisation | None = None) -> Extract:
    """RGB image to descriptors (rows, cols, channels), with the weights as they were published.

    The recipe has one backbone. normalisation: another mean and deviation than the backbone's.
    """
    parts = reference_graphs(recipe, resolve_all(recipe, {}))
    if normalisation:
        [taps] = parts[0].module.backbones
        taps.mean, taps.std = (torch.tensor(each).view(3, 1, 1) for each in normalisation)
    side = recipe.frame.side

    def extract(image: Image.Image) -> NDArray[np.float32]:
        pixels = torch.from_numpy(to_frame(image, recipe.frame, side)[None])
        return np.ascontiguousarray(graphs.run(parts, {side: pixels})[0].numpy())

    return extract
