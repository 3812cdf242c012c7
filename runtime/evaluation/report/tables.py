"""The tables of one protocol. Numbers are percent with one decimal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..results import ByAlpha, ProtocolResult, Scores, Subset, key
from .document import Table

READING = (
    "PCK is the share of correct keypoints, in percent. Per image, which PCK@alpha alone stands "
    "for: the mean over a pair's keypoints, then over pairs. Per keypoint: over all keypoints. "
    "Category mean: the mean over categories of their PCK per image.",
    "The 95 % interval is a bootstrap of the mean per image over pairs; std, median and quartiles "
    "are of PCK per image over pairs. Pairs share images, so an interval is a little narrower than "
    "a new set of images would have it.",
)


def overall(result: ProtocolResult) -> Table:
    """Everything about all pairs, one row per alpha."""
    columns = (
        "alpha", "per image", "95 % interval", "std", "median", "quartiles", "per keypoint",
        "category mean",
    )  # fmt: skip
    return Table(_title("Overall", result), columns, tuple(_overall_rows(result)))


def categories(result: ProtocolResult) -> Table:
    """PCK of every category, and of all of them where there are several."""
    rows = list(result.categories.items())
    if len(rows) > 1:
        rows.append(("all", result.overall))
    return _scores(_title("Per category", result), "category", result, rows)


def subset(name: str, part: Subset, result: ProtocolResult) -> Table:
    """PCK on some of the keypoints beside PCK on all of them."""
    columns = (
        "alpha", "per image, subset", "per image, all", "per keypoint, subset", "per keypoint, all"
    )  # fmt: skip
    values = (
        part.scores.per_image,
        result.overall.per_image,
        part.scores.per_keypoint,
        result.overall.per_keypoint,
    )
    rows = (
        (alpha, *(f"{by_alpha[alpha]:.1f}" for by_alpha in values)) for alpha in _alphas(result)
    )
    return Table(_title(f"{name}, {coverage(part)}", result), columns, tuple(rows))


def coverage(part: Subset) -> str:
    """What share of pairs and keypoints a subset covers, in words."""
    return f"{part.pairs_share:.1f} % of pairs, {part.keypoints_share:.1f} % of keypoints"


def difficulty(result: ProtocolResult) -> Iterator[Table]:
    """For every difficulty field, PCK by its value."""
    for field, values in result.by.items():
        yield _scores(_title(f"By {field}", result), field, result, values.items())


def keypoints(result: ProtocolResult) -> Iterator[Table]:
    """For every category, PCK by keypoint."""
    columns = ("keypoint", "pairs", *(f"PCK@{alpha}" for alpha in _alphas(result)))
    for category, by_id in result.keypoints.items():
        rows = (
            (name, f"{scores.pairs:,}", *_percents(scores.per_keypoint, result))
            for name, scores in by_id.items()
        )
        title = _title(f"Per keypoint of {category}", result)
        yield Table(title, columns, tuple(rows), folded=True)


def of_protocol(result: ProtocolResult) -> Iterator[Table]:
    """Every table of a protocol."""
    yield overall(result)
    yield categories(result)
    if result.geometry_aware:
        yield subset("Geometry-aware subset", result.geometry_aware, result)
    if result.mutual:
        yield subset("Mutual nearest neighbours", result.mutual, result)
    yield from difficulty(result)
    yield from keypoints(result)


def middle(alphas: Sequence[float]) -> float:
    """The alpha in the middle: the one of headlines, bars and pictures."""
    return sorted(alphas)[len(alphas) // 2]


def _overall_rows(result: ProtocolResult) -> Iterator[tuple[str, ...]]:
    for alpha in _alphas(result):
        spread = result.spread[alpha]
        yield (
            alpha,
            f"{result.overall.per_image[alpha]:.1f}",
            f"{spread.low:.1f} – {spread.high:.1f}",
            f"{spread.std:.1f}",
            f"{spread.median:.1f}",
            f"{spread.q25:.1f} – {spread.q75:.1f}",
            f"{result.overall.per_keypoint[alpha]:.1f}",
            f"{result.category_mean[alpha]:.1f}",
        )


def _scores(
    title: str, first: str, result: ProtocolResult, rows: Iterable[tuple[str, Scores]]
) -> Table:
    columns = (
        first,
        "pairs",
        "keypoints",
        *(f"PCK@{alpha}" for alpha in _alphas(result)),
        *(f"per keypoint @{alpha}" for alpha in _alphas(result)),
    )
    cells = (
        (
            name,
            f"{scores.pairs:,}",
            f"{scores.keypoints:,}",
            *_percents(scores.per_image, result),
            *_percents(scores.per_keypoint, result),
        )
        for name, scores in rows
    )
    return Table(title, columns, tuple(cells))


def _percents(values: ByAlpha, result: ProtocolResult) -> tuple[str, ...]:
    return tuple(f"{values[alpha]:.1f}" for alpha in _alphas(result))


def _alphas(result: ProtocolResult) -> list[str]:
    return [key(alpha) for alpha in result.alphas]


def _title(what: str, result: ProtocolResult) -> str:
    return f"{what} (protocol {result.name})"
