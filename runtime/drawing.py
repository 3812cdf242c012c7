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


def _row(source: Image.Image, target: Image.Image, matches: Matches) -> Image.Image:
    widest = max(image.width / image.height for image in (source, target))
    height = max(1, round(min(HEIGHT, WIDEST / widest))) * OVERSAMPLING
    left, right = _to_height(source, height), _to_height(target, height)
    offset = left.width + GAP * OVERSAMPLING
    row = Image.new("RGB", (offset + right.width, height), PAPER)
    row.paste(left, (0, 0))
    row.paste(right, (offset, 0))

    starts = _scaled(matches.source, source, left, 0)
    ends = _scaled(matches.target, target, right, offset)
    colours = _colours(len(matches))
    pen = ImageDraw.Draw(row, "RGBA")
    for start, end, colour in zip(starts, ends, colours, strict=True):
        pen.line([start, end], (*INK, 60), width=5)
        pen.line([start, end], (*colour, 230), width=3)
    numbered = len(matches) <= MOST_NUMBERED
    for number, (start, end, colour) in enumerate(zip(starts, ends, colours, strict=True), 1):
        for point in (start, end):
            _disc(pen, point, colour, str(number) if numbered else None)
    if numbered:
        for end, similarity in zip(ends, matches.similarity, strict=True):
            _similarity(pen, end, f"{similarity:.2f}", row.width)
    return row.resize((row.width // OVERSAMPLING, height // OVERSAMPLING), Image.Resampling.LANCZOS)


def _to_height(image: Image.Image, height: int) -> Image.Image:
    return image.resize(
        (max(1, round(image.width * height / image.height)), height), Image.Resampling.LANCZOS
    )


def _scaled(
    points: Points, image: Image.Image, shown: Image.Image, offset: int
) -> list[tuple[float, float]]:
    scale_x, scale_y = shown.width / image.width, shown.height / image.height
    return [(offset + float(x) * scale_x, float(y) * scale_y) for x, y in points]


def _colours(count: int) -> list[Colour]:
    """Bright colours; neighbours in number differ in hue by the golden ratio."""
    colours = []
    for index in range(count):
        red, green, blue = colorsys.hls_to_rgb(0.618034 * index % 1, 0.6, 0.9)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


def _disc(
    pen: ImageDraw.ImageDraw, point: tuple[float, float], colour: Colour, number: str | None
) -> None:
    x, y = point
    radius = (9 if number else 3) * OVERSAMPLING
    for grown, fill in ((2, INK), (1, PAPER), (0, colour)):
        r = radius + grown * OVERSAMPLING * (1 if number else 0.5)
        pen.ellipse([x - r, y - r, x + r, y + r], fill)
    if number:
        pen.text(point, number, INK, _font(11), anchor="mm")


def _similarity(
    pen: ImageDraw.ImageDraw, point: tuple[float, float], text: str, right_edge: int
) -> None:
    x, y = point
    away = 14 * OVERSAMPLING
    fits = x + away + 30 * OVERSAMPLING < right_edge
    place, anchor = ((x + away, y), "lm") if fits else ((x - away, y), "rm")
    pen.text(
        place, text, PAPER, _font(11), anchor=anchor, stroke_width=2 * OVERSAMPLING, stroke_fill=INK
    )


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * OVERSAMPLING)
