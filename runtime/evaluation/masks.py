"""Masks of a dataset's objects; those made elsewhere lie in a folder laid out like its images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..datasets import AnnotatedImage
from ..errors import GeoAwareError, InputError
from ..images import load
from ..pose import Mask


class Masks(Protocol):
    """The masks of a dataset's objects."""

    @property
    def digest(self) -> str:
        """Changes with the masks' content."""

    def of(self, image: AnnotatedImage) -> Mask:
        """The mask of an image's object, (H, W) bool."""


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
        ordered = sorted(images, key=lambda image: image.path)
        return cls(folder, root, digest_of(cls(folder, root, ""), ordered))

    def of(self, image: AnnotatedImage) -> Mask:
        """The mask of an image, (H, W) bool: what is brighter than half."""
        return read_mask(self.folder / image.path.relative_to(self.root), image.size)


def digest_of(masks: Masks, images: Iterable[AnnotatedImage]) -> str:
    """The SHA-256 of all images' masks, in this order."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(np.packbits(masks.of(image)).tobytes())
    return digest.hexdigest()


def read_mask(place: Path, size: tuple[int, int]) -> Mask:
    """The mask (H, W) of an image of this width and height: what is brighter than half.

    place: the image's own path in the folder of masks; the mask's ends in .png.

    Raises InputError where there is none, GeoAwareError where it does not fit or shows nothing.
    """
    path = place.with_suffix(".png")
    if not path.is_file():
        raise InputError(
            f"{path}: no such mask; --masks holds a picture for every image, white where "
            "the object is"
        )
    picture = load(path).convert("L")
    if picture.size != size:
        raise GeoAwareError(f"{path}: has {picture.size} pixels, its image {size}")
    mask: Mask = np.asarray(picture) > 127
    if not mask.any():
        raise GeoAwareError(f"{path}: shows nothing white; the object is 255, the rest 0")
    return mask
