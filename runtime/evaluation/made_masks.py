"""Masks of a dataset's objects, made by SAM from their annotated boxes and kept with the features.

    <store>/<mask bundle's hash>/masks/<2 digits>/<image's SHA-256>-<16 digits>.png

The last digits are of the box and of the mask decoder.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image

from ..bundle import Bundle
from ..datasets import AnnotatedImage
from ..engines import Device
from ..errors import GeoAwareError, InputError
from ..files import replacing
from ..images import load
from ..parallel import engine_threads, in_threads
from ..pose import Mask
from ..segmenter import Embedding, Segmenter, mask_decoder
from .masks import digest_of, read_mask
from .watch import Watch


@dataclass(frozen=True)
class MadeMasks:
    """Masks in a store. content: the images' SHA-256, by path. digest: changes with the masks."""

    store: Path
    bundle: Bundle
    content: Mapping[Path, str]
    digest: str = ""

    def of(self, image: AnnotatedImage) -> Mask:
        """The mask of an image's object, (H, W) bool. Raises GeoAwareError where it is gone."""
        return read_mask(self.path(image), image.size)

    def path(self, image: AnnotatedImage) -> Path:
        """The file of an image's mask, there or not."""
        files = mask_decoder(self.bundle).model.files
        prompt = json.dumps([image.box, [file.sha256 for file in files]])
        last = hashlib.sha256(prompt.encode()).hexdigest()[:16]
        digest = self.content[image.path]
        folder = self.store / self.bundle.manifest.hash() / "masks" / digest[:2]
        return folder / f"{digest}-{last}.png"

    def holds(self, image: AnnotatedImage) -> bool:
        """Whether the mask of an image is there, and whole."""
        try:
            return bool(self.of(image).size)
        except GeoAwareError:
            return False


def make_masks(
    masks: MadeMasks, images: Iterable[AnnotatedImage], device: Device, workers: int, watch: Watch
) -> MadeMasks:
    """See that there is a mask of every image's object; those that are there are kept.

    SAM gets the image as it is, in its own frame, with the annotated box as prompt, and gives its
    single mask. (The reference system letterboxes the image to 960 pixels first.) Where SAM finds
    nothing, the box is the mask.

    Raises InputError for an image without a box, GeoAwareError where a mask cannot be written.
    """
    objects = {(image.path, image.box): image for image in images}
    missing: dict[Path, list[AnnotatedImage]] = defaultdict(list)
    for image in objects.values():
        if image.box is None:
            raise InputError(f"{image.path}: has no box to make its mask from; give --masks DIR")
        if not masks.holds(image):
            missing[image.path].append(image)
    if missing:
        segmenter = Segmenter(masks.bundle, device, engine_threads(workers))
        empty = _make(masks, missing, segmenter, workers, watch)
        if empty:
            watch.note(f"{empty} objects have an empty mask; their boxes are taken")
    ordered = sorted(objects.values(), key=lambda image: (image.path, image.box))
    return replace(masks, digest=digest_of(masks, ordered))


def _make(
    masks: MadeMasks,
    missing: Mapping[Path, list[AnnotatedImage]],
    segmenter: Segmenter,
    workers: int,
    watch: Watch,
) -> int:
    """Make and keep the masks; how many were empty."""

    def make(path: Path) -> int:
        embedding = segmenter.embed(load(path))
        return sum(_kept(masks, image, segmenter, embedding) for image in missing[path])

    empty = 0
    with watch.stage("masks", len(missing), "images") as advance:
        for _, found in in_threads(make, missing, workers):
            empty += found
            advance(1)
    return empty


def _kept(
    masks: MadeMasks, image: AnnotatedImage, segmenter: Segmenter, embedding: Embedding
) -> bool:
    """Keep the mask of an object; whether it was empty."""
    width, height = image.size
    left, top, right, bottom = np.clip(image.box or (), 0, (width, height, width, height)).tolist()
    try:
        mask = segmenter.mask_of(embedding, (left, top, right, bottom)).mask
    except InputError as error:
        raise InputError(f"{image.path}: {error}") from None
    empty = not mask.any()
    if empty:
        mask[int(top) : ceil(bottom), int(left) : ceil(right)] = True
    path = masks.path(image)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GeoAwareError(f"{path.parent}: cannot be made: {error.strerror}") from None
    with replacing(path) as file:
        Image.fromarray(mask).save(file, "PNG")
    return empty
