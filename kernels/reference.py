"""What the kernels compute, written for the eye in float64: the truth that tests compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .softargmax import SoftArgmax, Variant

Float64 = NDArray[np.float64]


def unit(descriptors: NDArray[np.floating]) -> Float64:
    """Descriptors (..., C) divided by their Euclidean norm; a zero vector stays zero."""
    x = np.asarray(descriptors, np.float64)
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    unit_norm: Float64 = np.divide(x, norm, out=np.zeros_like(x), where=norm != 0)
    return unit_norm


def cosine_similarity(queries: NDArray[np.floating], target: NDArray[np.floating]) -> Float64:
    """Cosine of every query (K, C) with every target cell (H, W, C): (K, H, W)."""
    cosine: Float64 = np.einsum("kc,hwc->khw", unit(queries), unit(target))
    return cosine


def argmax(queries: NDArray[np.floating], target: NDArray[np.floating]) -> Float64:
    """Cell (x, y) of highest cosine similarity for each query: (K, 2).

    Among equals the smaller row-major index wins.
    """
    height, width, _ = target.shape
    peaks = cosine_similarity(queries, target).reshape(-1, height * width).argmax(axis=1)
    rows, columns = np.divmod(peaks, width)
    return np.stack([columns, rows], axis=1).astype(np.float64)


def window_softargmax(
    queries: NDArray[np.floating],
    target: NDArray[np.floating],
    window: int,
    temperature: float,
    variant: Variant,
) -> Float64:
    """Expected cell (x, y) of each query around its most similar cell: (K, 2).

    queries (K, C), target (H, W, C). `window` is the papers' own parameter:

    - `zeroed` ("Telling Left from Right", CVPR 2024): similarities outside the
      (2 window + 1)^2 cells around the peak become 0, then softmax(similarity / temperature)
      runs over *all* cells. Window 0 keeps every similarity; a negative window multiplies them
      by a Gaussian of sigma |window| around the peak instead.
    - `cropped`: the softmax runs over the window x window cells around the peak only, as far
      as they lie on the grid.

    Raises ValueError for values that are not finite and for settings `SoftArgmax` refuses.
    """
    setting = SoftArgmax(window, temperature, variant)
    if not (np.isfinite(queries).all() and np.isfinite(target).all()):
        raise ValueError("descriptors hold NaN or infinite values")
    height, width, _ = target.shape
    ys, xs = np.mgrid[:height, :width]
    cells = []
    for similarity, (peak_x, peak_y) in zip(
        cosine_similarity(queries, target), argmax(queries, target), strict=True
    ):
        kept = similarity
        if window < 0:
            squared = (xs - peak_x) ** 2 + (ys - peak_y) ** 2
            kept = similarity * np.exp(-squared / (2 * window**2))
        elif setting.radius is not None:
            inside = np.maximum(abs(xs - peak_x), abs(ys - peak_y)) <= setting.radius
            kept = np.where(inside, similarity, 0.0 if variant == "zeroed" else -np.inf)
        logits = kept / temperature
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        cells.append([(weights * xs).sum(), (weights * ys).sum()])
    return np.asarray(cells, np.float64).reshape(-1, 2)


def resized(maps: NDArray[np.floating], grid: tuple[int, int]) -> Float64:
    """Maps (k, H, W) at another size (k, rows, columns): bilinear, half-pixel centres."""

    def line(values: Float64, wanted: int) -> Float64:
        at = (np.arange(wanted) + 0.5) * len(values) / wanted - 0.5
        resampled: Float64 = np.interp(at, np.arange(len(values)), values)
        return resampled

    tall = np.apply_along_axis(line, 1, np.asarray(maps, np.float64), grid[0])
    wide: Float64 = np.apply_along_axis(line, 2, tall, grid[1])
    return wide


def ensemble_similarity(
    queries: Sequence[NDArray[np.floating]],
    targets: Sequence[NDArray[np.floating]],
    weights: Sequence[float],
    grid: tuple[int, int],
) -> Float64:
    """Weighted sum of every model's cosine similarities, each resized: (K, rows, columns).

    queries: per model (K, C_m); targets: per model (H_m, W_m, C_m).
    """
    models = zip(queries, targets, weights, strict=True)
    maps = [weight * resized(cosine_similarity(q, t), grid) for q, t, weight in models]
    total: Float64 = np.sum(maps, axis=0)
    return total


def distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> Float64:
    """Euclidean distance of every descriptor a (N, C) from every descriptor b (M, C): (N, M)."""
    difference = np.asarray(a, np.float64)[:, None] - np.asarray(b, np.float64)[None]
    norm: Float64 = np.linalg.norm(difference, axis=2)
    return norm
