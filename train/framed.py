"""Images and mirror images in the frames that backbones see, read while others are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps

from ..runtime.errors import GeoAwareError
from ..runtime.geometry import Frame
from ..runtime.images import load, to_frame
from ..runtime.recipe import FrameSpec
from ..runtime.store import Key

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, eq=False)
class Framed:
    """An image or its mirror image; pixels: (3, side, side) in [0, 1], by side."""

    key: Key
    frame: Frame
    pixels: Mapping[int, NDArray[np.float32]]


def framed(
    path: Path, keys: Sequence[Key], spec: FrameSpec, sides: Sequence[int]
) -> list[Framed] | str:
    """An image as each of its keys asks for it, in frames of these sides; or what is wrong."""
    try:
        image = load(path)
    except GeoAwareError as error:
        return str(error).removeprefix(f"{path}: ")
    frame = Frame.fit(spec.mode, spec.side, image.width, image.height)
    made = []
    for key in keys:
        turned = ImageOps.mirror(image) if key.mirrored else image
        made.append(Framed(key, frame, {side: to_frame(turned, spec, side) for side in {*sides}}))
    return made


def read_ahead(
    read: Callable[[Item], Outcome], batches: Sequence[Sequence[Item]], pool: ThreadPoolExecutor
) -> Iterator[list[Outcome]]:
    """What `read` makes of each batch; while one is used, the next is being read."""
    reading = [pool.submit(read, item) for item in batches[0]]
    for following in (*batches[1:], ()):
        ahead = [pool.submit(read, item) for item in following]
        yield [each.result() for each in reading]
        reading = ahead
