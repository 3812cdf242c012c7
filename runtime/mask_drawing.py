"""A mask as a picture: the object tinted and outlined on its photograph, with the prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]

TINT: Colour = (30, 130, 255)
OBJECT: Colour = (60, 220, 90)
BACKGROUND: Colour = (240, 60, 60)
BOX: Colour = (255, 210, 60)
INK, PAPER = (20, 20, 20), (255, 255, 255)
OPACITY = 110  # of the tint, of 255


def draw_mask(
    image: Image.Image,
    mask: NDArray[np.bool_],
    box: Sequence[float] | None,
    points: Sequence[Sequence[float]],
    labels: Sequence[int],
) -> Image.Image:
    """The image (W x H) with its mask (H, W), a box, and points on the object (1) or not (0)."""
    stroke = max(1, max(image.size) // 400)
    inside = Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0)))
    core = inside.filter(ImageFilter.MinFilter(2 * stroke + 1))
    picture = image.copy()
    picture.paste(TINT, mask=Image.fromarray(np.where(mask, np.uint8(OPACITY), np.uint8(0))))
    edge = np.asarray(inside) & ~np.asarray(core)
    picture.paste(PAPER, mask=Image.fromarray(edge))
    pen = ImageDraw.Draw(picture)
    if box is not None:
        pen.rectangle([round(number) for number in box], outline=BOX, width=stroke)
    for (x, y), label in zip(points, labels, strict=True):
        for radius, fill in (
            (5 * stroke, INK),
            (4 * stroke, PAPER),
            (3 * stroke, OBJECT if label else BACKGROUND),
        ):
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill)
    return picture
