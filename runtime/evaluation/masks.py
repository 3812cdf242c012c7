"""Masks of a dataset's objects, made elsewhere, in a folder laid out like its images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets import AnnotatedImage
from ..errors import GeoAwareError, InputError
from ..images import load
from ..pose import Mask


@dataclass(frozen=True)
class MaskFolder:
    """Pictures at the images' own paths and sizes, ending in .png: white is the object.

    folder: where they lie. root: the dataset's folder. digest: changes with their content.
    """

    folder: Path
    root: Path
    digest: str

    @classmethod
    def checked(cls, folder: Path, root: Path, images: Sequence[AnnotatedImage]) -> MaskFolder:
        """The masks of these images, after a look at each.

        Raises InputError where one is missing, naming the file expected, GeoAwareError where one
        does not fit its image or shows nothing.
        """
        masks = cls(folder, root, "")
        digest = hashlib.sha256()
        for image in sorted(images, key=lambda image: image.path):
            digest.update(np.packbits(masks.of(image)).tobytes())
        return cls(folder, root, digest.hexdigest())

    def of(self, image: AnnotatedImage) -> Mask:
        """The mask of an image, (H, W) bool: what is brighter than half."""
        path = (self.folder / image.path.relative_to(self.root)).with_suffix(".png")
        if not path.is_file():
            raise InputError(
                f"{path}: no such mask; --masks holds a picture for every image, white where "
                "the object is"
            )
        picture = load(path).convert("L")
        if picture.size != image.size:
            raise GeoAwareError(f"{path}: has {picture.size} pixels, its image {image.size}")
        mask: Mask = np.asarray(picture) > 127
        if not mask.any():
            raise GeoAwareError(f"{path}: shows nothing white; the object is 255, the rest 0")
        return mask
