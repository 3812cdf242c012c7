"""What the kernels compute, written for the eye in float64: the truth that tests compare with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .fuse import Normalise
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
    return expected_cells(cosine_similarity(queries, target), setting)


def expected_cells(similarity: NDArray[np.floating], setting: SoftArgmax) -> Float64:
    """Expected cell (x, y) of each similarity map (K, H, W) around its peak: (K, 2)."""
    _, height, width = similarity.shape
    ys, xs = np.mgrid[:height, :width]
    cells = []
    for each in np.asarray(similarity, np.float64):
        peak_y, peak_x = divmod(each.argmax(), width)
        kept = each
        if setting.window < 0:
            squared = (xs - peak_x) ** 2 + (ys - peak_y) ** 2
            kept = each * np.exp(-squared / (2 * setting.window**2))
        elif setting.radius is not None:
            inside = np.maximum(abs(xs - peak_x), abs(ys - peak_y)) <= setting.radius
            kept = np.where(inside, each, 0.0 if setting.variant == "zeroed" else -np.inf)
        logits = kept / setting.temperature
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


def mutual_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Mean Euclidean distance of the mutual nearest neighbours among a (N, C) and b (M, C)."""
    between = distances(a, b)
    forward, backward = between.argmin(axis=1), between.argmin(axis=0)
    mutual = backward[forward] == np.arange(len(a))
    return float(between.min(axis=1)[mutual].mean())


def masked_distance(
    a: NDArray[np.floating],
    b: NDArray[np.floating],
    inside_a: NDArray[np.bool_],
    inside_b: NDArray[np.bool_],
) -> float:
    """Mean distance of a's cells inside their mask from the nearest of b's cells inside theirs.

    a, b: maps (H, W, C), first resized to the grid of the masks (rows, columns). Infinite where a
    mask covers no cell.
    """
    rows = [
        np.moveaxis(resized(np.moveaxis(each, 2, 0), mask.shape), 0, 2)[mask]
        for each, mask in ((a, inside_a), (b, inside_b))
    ]
    if not len(rows[0]) or not len(rows[1]):
        return float("inf")
    return float(distances(rows[0], rows[1]).min(axis=1).mean())


def fuse(
    maps: Sequence[NDArray[np.floating]],
    weights: Sequence[Sequence[float]],
    grid: tuple[int, int],
    normalise: Normalise,
) -> Float64:
    """Descriptors (rows, columns, C) of maps (h, w, c), as `geoaware.kernels.fuse.fuse` says."""
    remaining = iter(maps)
    fused = []
    for group in weights:
        taps = [resized(next(remaining).transpose(2, 0, 1), grid) for _ in group]
        taps = [tap.transpose(1, 2, 0) for tap in taps]
        if normalise == "tap":
            taps = [unit(tap) for tap in taps]
        joined = np.concatenate([weight * tap for weight, tap in zip(group, taps, strict=True)], -1)
        fused.append(unit(joined) if normalise == "backbone" else joined)
    return unit(np.concatenate(fused, axis=-1))


def stitch(
    windows: NDArray[np.floating], offsets: Sequence[tuple[int, int]], size: tuple[int, int]
) -> Float64:
    """The mean (rows, columns, C) of the windows (n, h, w, C) over each cell.

    offsets: the (row, column) each window begins at. A cell in no window is NaN.
    """
    total = np.zeros((*size, windows.shape[3]))
    count = np.zeros((*size, 1))
    for window, (row, column) in zip(windows, offsets, strict=True):
        there = slice(row, row + window.shape[0]), slice(column, column + window.shape[1])
        total[there] += window
        count[there] += 1
    with np.errstate(invalid="ignore"):
        mean: Float64 = total / count
    return mean


def sample(
    features: NDArray[np.floating], cells: NDArray[np.floating], how: Literal["nearest", "bilinear"]
) -> Float64:
    """Unit descriptors (K, C) of places x, y (K, 2) on features (H, W, C).

    Cell centres are whole numbers; places beyond the border get the border's. `nearest` rounds
    halves up, `bilinear` mixes the descriptors as they are.
    """
    last = np.array([features.shape[1] - 1, features.shape[0] - 1])
    places = np.asarray(cells, np.float64).clip(0, last)
    if how == "nearest":
        places = np.where(places % 1 < 0.5, np.floor(places), np.ceil(places))
    low = np.floor(places).astype(np.intp)
    share = places - low
    mixed = np.zeros((len(places), features.shape[2]))
    for right in (0, 1):
        for below in (0, 1):
            x, y = np.minimum(low + np.array([right, below]), last).T
            weight = (share if right else 1 - share)[:, 0] * (share if below else 1 - share)[:, 1]
            mixed += weight[:, None] * features[y, x]
    return unit(mixed)


def nearest(
    queries: NDArray[np.floating], target: NDArray[np.floating], count: int = 1
) -> tuple[NDArray[np.intp], Float64]:
    """The `count` rows of target (M, C) of highest cosine with each query (K, C), best first.

    Indices and cosines, (K, count). Among equals the smaller index comes first.
    """
    cosine = unit(queries) @ unit(target).T
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(cosine, order, axis=1)
