"""Matches as a picture: source and target side by side, numbered points joined by thin lines."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from .geometry import Points
from .matches import Matches

HEIGHT, GAP = 512, 12
WIDEST = 4096  # a picture of an extreme strip is shown lower instead
OVERSAMPLING = 2  # drawn at twice the size and scaled down, for smooth edges
MOST_NUMBERED = 64
INK, PAPER = (20, 20, 20), (255, 255, 255)

Colour = tuple[int, int, int]
Place = tuple[float, float]


def draw_matches(source: Image.Image, rows: Sequence[tuple[Image.Image, Matches]]) -> Image.Image:
    """One row per target: the source on the left, the target on the right, at equal height.

    Points carry their number, and in the target the cosine similarity; beyond 64 points only
    dots and lines are drawn. Points are in the original images' pixels.
    """
    pictures = [_row(source, target, matches) for target, matches in rows]
    width = max(picture.width for picture in pictures)
    height = sum(picture.height for picture in pictures) + GAP * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, height), PAPER)
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height + GAP
    return sheet


class SideBySide:
    """Two images beside each other at equal height, and a pen to draw on them.

    Everything is drawn at OVERSAMPLING times the final size; `finished` scales it down.
    """

    def __init__(self, source: Image.Image, target: Image.Image, height: int = HEIGHT) -> None:
        widest = max(image.width / image.height for image in (source, target))
        drawn = max(1, round(min(height, WIDEST / widest))) * OVERSAMPLING
        self._source, self._target = source, target
        self._left, self._right = _to_height(source, drawn), _to_height(target, drawn)
        self._offset = self._left.width + GAP * OVERSAMPLING
        self._picture = Image.new("RGB", (self._offset + self._right.width, drawn), PAPER)
        self._picture.paste(self._left, (0, 0))
        self._picture.paste(self._right, (self._offset, 0))
        self.pen = ImageDraw.Draw(self._picture, "RGBA")

    @property
    def width(self) -> int:
        """The width drawn at, OVERSAMPLING times the final one."""
        return self._picture.width

    def on_source(self, points: Points) -> list[Place]:
        """Where points (K, 2) of the source, in its pixels, are drawn."""
        return _scaled(points, self._source, self._left, 0)

    def on_target(self, points: Points) -> list[Place]:
        """Where points (K, 2) of the target, in its pixels, are drawn."""
        return _scaled(points, self._target, self._right, self._offset)

    def finished(self) -> Image.Image:
        """The picture at its final size."""
        size = (self._picture.width // OVERSAMPLING, self._picture.height // OVERSAMPLING)
        return self._picture.resize(size, Image.Resampling.LANCZOS)


def disc(pen: ImageDraw.ImageDraw, point: Place, colour: Colour, number: str | None) -> None:
    """A disc with its number in it, or a small one without."""
    x, y = point
    radius = (9 if number else 3) * OVERSAMPLING
    for grown, fill in ((2, INK), (1, PAPER), (0, colour)):
        r = radius + grown * OVERSAMPLING * (1 if number else 0.5)
        pen.ellipse([x - r, y - r, x + r, y + r], fill)
    if number:
        pen.text(point, number, INK, _font(11), anchor="mm")


def line(pen: ImageDraw.ImageDraw, start: Place, end: Place, colour: Colour) -> None:
    """A thin line with a faint dark edge."""
    pen.line([start, end], (*INK, 60), width=5)
    pen.line([start, end], (*colour, 230), width=3)


def _row(source: Image.Image, target: Image.Image, matches: Matches) -> Image.Image:
    sheet = SideBySide(source, target)
    starts, ends = sheet.on_source(matches.source), sheet.on_target(matches.target)
    colours = _colours(len(matches))
    for start, end, colour in zip(starts, ends, colours, strict=True):
        line(sheet.pen, start, end, colour)
    numbered = len(matches) <= MOST_NUMBERED
    for number, (start, end, colour) in enumerate(zip(starts, ends, colours, strict=True), 1):
        for point in (start, end):
            disc(sheet.pen, point, colour, str(number) if numbered else None)
    if numbered:
        for end, similarity in zip(ends, matches.similarity, strict=True):
            _similarity(sheet.pen, end, f"{similarity:.2f}", sheet.width)
    return sheet.finished()


def _to_height(image: Image.Image, height: int) -> Image.Image:
    return image.resize(
        (max(1, round(image.width * height / image.height)), height), Image.Resampling.LANCZOS
    )


def _scaled(points: Points, image: Image.Image, shown: Image.Image, offset: int) -> list[Place]:
    scale_x, scale_y = shown.width / image.width, shown.height / image.height
    return [(offset + float(x) * scale_x, float(y) * scale_y) for x, y in points]


def _colours(count: int) -> list[Colour]:
    """Bright colours; neighbours in number differ in hue by the golden ratio."""
    colours = []
    for index in range(count):
        red, green, blue = colorsys.hls_to_rgb(0.618034 * index % 1, 0.6, 0.9)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


def _similarity(pen: ImageDraw.ImageDraw, point: Place, text: str, right_edge: int) -> None:
    x, y = point
    away = 14 * OVERSAMPLING
    fits = x + away + 30 * OVERSAMPLING < right_edge
    place, anchor = ((x + away, y), "lm") if fits else ((x - away, y), "rm")
    pen.text(
        place, text, PAPER, _font(11), anchor=anchor, stroke_width=2 * OVERSAMPLING, stroke_fill=INK
    )


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * OVERSAMPLING)
