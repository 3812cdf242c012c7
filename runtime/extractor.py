"""Images to descriptors: the models of a bundle, loaded and chained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .engines import Device, open_engine
from .images import to_frame
from .manifest import Model
from .recipe import FrameSpec


class Extractor:
    """Models that run one after the other, from an image to its descriptors."""

    def __init__(
        self,
        folder: Path,
        models: Sequence[Model],
        frame: FrameSpec,
        device: Device,
        threads: int | None = None,
    ) -> None:
        """Load the models' graphs from their folder. Raises GeoAwareError where one is bad."""
        self.frame = frame
        self._engines = [(model, open_engine(folder, model, device, threads)) for model in models]

    def descriptors(self, image: Image.Image) -> NDArray[np.float32]:
        """Descriptors (rows, cols, channels), unit norm, of an upright RGB image."""
        tensors: dict[str, NDArray[Any]] = {}
        for model, engine in self._engines:
            for tensor in model.inputs:
                if tensor.name == "image":
                    side = int(tensor.shape[-1])
                    tensors["image"] = to_frame(image, self.frame, side)[None]
            tensors |= engine.run({tensor.name: tensors[tensor.name] for tensor in model.inputs})
        return np.ascontiguousarray(tensors["descriptors"][0], np.float32)
