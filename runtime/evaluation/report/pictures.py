"""Pairs as pictures: where their keypoints were found, and where they are."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ... import images
from ...drawing import INK, OVERSAMPLING, PAPER, Place, SideBySide, disc, line
from ...errors import GeoAwareError
from ..outcome import Outcome
from ..results import key
from . import verdicts
from .document import Figure, Section

HEIGHT = 360
OF_EACH = 3
Ranked = tuple[float, Outcome]  # a pair and its mean error in reference lengths

CORRECT, WRONG = (86, 180, 233), (230, 159, 0)  # blue and orange, for any colour vision
RADIUS = 13  # of a ring, so that a disc on the truth leaves the ring in sight


def section(protocol: str, alpha: float, outcomes: Sequence[Outcome]) -> Section:
    """The best, median and worst pairs by mean distance in reference lengths, three of each."""
    figures, problems = [], []
    for kind, (error, outcome) in _chosen(_ranked(protocol, outcomes)):
        try:
            correct = verdicts.correct(protocol, outcome, [alpha])[:, 0]
            picture = _uri(draw(outcome, correct))
        except GeoAwareError as problem:
            problems.append(f"{outcome.pair.name} could not be drawn: {problem}")
            continue
        figures.append(Figure(f"{kind}: {_caption(outcome, error)}", picture))
    text = (
        "By mean distance between prediction and truth, in reference lengths of protocol "
        f"{protocol}. Source left, target right. Discs: predictions, blue where correct at alpha "
        f"{key(alpha)}, orange where not. Rings: the truth. Numbers: the dataset's keypoints.",
        *problems,
    )
    return Section("Best, median and worst pairs", text, figures=tuple(figures))


def draw(outcome: Outcome, correct: NDArray[np.bool_]) -> Image.Image:
    """A pair with its keypoints; the colour of a disc says whether it is correct (K,)."""
    pair = outcome.pair
    sheet = SideBySide(images.load(pair.source.path), images.load(pair.target.path), HEIGHT)
    sources = sheet.on_source(pair.source.points[pair.mutual])
    predictions, truths = sheet.on_target(outcome.predicted), sheet.on_target(outcome.truth)
    colours = [CORRECT if each else WRONG for each in correct]
    numbers = [str(name) for name, mutual in zip(pair.ids, pair.mutual, strict=True) if mutual]
    for prediction, truth, colour in zip(predictions, truths, colours, strict=True):
        line(sheet.pen, prediction, truth, colour)
        _ring(sheet.pen, truth)
    for points in (sources, predictions):
        for point, colour, number in zip(points, colours, numbers, strict=True):
            disc(sheet.pen, point, colour, number)
    return sheet.finished()


def _ring(pen: ImageDraw.ImageDraw, point: Place) -> None:
    x, y = point
    for grown, fill, width in ((0.5, INK, 2.5), (0, PAPER, 1.5)):
        r = (RADIUS + grown) * OVERSAMPLING
        pen.ellipse([x - r, y - r, x + r, y + r], outline=fill, width=int(width * OVERSAMPLING))


def _ranked(protocol: str, outcomes: Sequence[Outcome]) -> list[Ranked]:
    """Pairs by mean error, then by name; those whose reference length is 0 have none."""
    errors = [float(verdicts.relative_errors(protocol, each).mean()) for each in outcomes]
    known = [each for each in zip(errors, outcomes, strict=True) if np.isfinite(each[0])]
    return sorted(known, key=lambda each: (each[0], each[1].pair.name))


def _chosen(ranked: list[Ranked]) -> list[tuple[str, Ranked]]:
    """Three from each end and three from the middle, none twice; the worst pair comes first."""
    best, rest = ranked[:OF_EACH], ranked[OF_EACH:]
    worst = sorted(rest, key=lambda each: (-each[0], each[1].pair.name))[:OF_EACH]
    rest = [each for each in rest if each not in worst]
    start = max(0, (len(rest) - OF_EACH) // 2)
    groups = {"best": best, "median": rest[start : start + OF_EACH], "worst": worst}
    return [(kind, each) for kind, group in groups.items() for each in group]


def _caption(outcome: Outcome, error: float) -> str:
    mirrored = ", mirrored source chosen" if outcome.mirrored else ""
    return (
        f"{outcome.pair.name} ({outcome.pair.category}), "
        f"mean distance {error:.3f} x reference{mirrored}"
    )


def _uri(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
