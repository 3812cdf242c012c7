"""Masks of a dataset's objects, made elsewhere, in a folder laid out like its images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets import AnnotatedImage
from ..errors import GeoAwareError, InputError
from ..images import load
from ..pose import Mask


@dataclass(frozen=True)
class MaskFolder:
    """Pictures at the images' own paths and sizes, ending in .png: what is bright is the object.

    folder: where they lie. root: the dataset's folder.
    """

    folder: Path
    root: Path

    def check(self, images: Iterable[Path]) -> None:
        """Raise InputError where the mask of an image is missing, naming the file expected."""
        for image in images:
            if not self._path(image).is_file():
                raise InputError(
                    f"{self._path(image)}: no such mask; --masks holds a picture for every "
                    "image, white where the object is"
                )

    def of(self, image: AnnotatedImage) -> Mask:
        """The mask of an image, (H, W) bool. Raises GeoAwareError where it does not fit."""
        path = self._path(image.path)
        picture = load(path).convert("L")
        if picture.size != image.size:
            raise GeoAwareError(f"{path}: has {picture.size} pixels, its image {image.size}")
        mask: Mask = np.asarray(picture) > 127
        return mask

    def _path(self, image: Path) -> Path:
        return (self.folder / image.relative_to(self.root)).with_suffix(".png")
