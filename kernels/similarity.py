"""Cosine similarity of a few queries with every cell of a grid, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from .dispatch import OnDevice, check_host, device_arrays, on_device
from .products import Float32, products

if TYPE_CHECKING:
    from .cuda.arrays import DeviceArray

How: TypeAlias = Literal["nearest", "bilinear"]

# Every block has BLAS put the target into an order of its own once more.
BLOCK_BYTES = 16 * 2**20


def unit(descriptors: NDArray[np.floating]) -> Float32:
    """Descriptors (..., C) divided by their Euclidean norm, float32; a zero vector stays zero."""
    x = np.asarray(descriptors, np.float32)
    largest = abs(x).max(axis=-1, keepdims=True, initial=0)
    x = np.divide(x, largest, out=np.zeros_like(x), where=largest != 0)  # squares stay in range
    norm = np.sqrt(np.einsum("...c,...c->...", x, x))[..., None]
    unit_norm: Float32 = np.divide(x, norm, out=np.zeros_like(x), where=norm != 0)
    return unit_norm


@overload
def sample(
    features: NDArray[np.floating], cells: NDArray[np.floating], how: How = "nearest"
) -> Float32: ...
@overload
def sample(features: OnDevice, cells: OnDevice, how: How = "nearest") -> DeviceArray: ...
def sample(features: Any, cells: Any, how: How = "nearest") -> Float32 | DeviceArray:
    """Unit descriptors (K, C) of places x, y (K, 2) on features (H, W, C).

    On the host or on the GPU: where the arrays are.

    Cell centres are whole numbers; places beyond the border get the border's descriptors.
    `nearest` takes the cell that holds the place (halves up), `bilinear` mixes the four
    around it, as they are. Reads 1 or 4 descriptors a place.

    Raises ValueError for another `how`, places that are NaN, or a grid without cells.
    """
    if on_device(features=features, cells=cells):
        from .cuda import similarity as there

        [features, cells] = device_arrays(features, cells)
        return there.sample(features, cells, how)
    if how not in ("nearest", "bilinear"):
        raise ValueError(f"how is {how!r}; it must be 'nearest' or 'bilinear'")
    if features.shape[0] * features.shape[1] == 0:
        raise ValueError("the grid has no cells")
    if np.isnan(cells).any():
        raise ValueError("a place is NaN")
    last = np.array([features.shape[1] - 1, features.shape[0] - 1])
    inside = np.asarray(cells).clip(0, last)
    if how == "nearest":
        x, y = _halves_up(inside).astype(np.intp).T
        return unit(features[y, x])
    places = inside.astype(np.float32)
    left, top = np.floor(places).astype(np.intp).T
    right, bottom = np.minimum([left + 1, top + 1], last[:, None])
    x, y = (places - np.stack([left, top], axis=1).astype(np.float32)).T[:, :, None]
    upper = (1 - x) * features[top, left] + x * features[top, right]
    lower = (1 - x) * features[bottom, left] + x * features[bottom, right]
    return unit((1 - y) * upper + y * lower)


@overload
def nearest(
    queries: Float32, target: Float32, count: int = 1
) -> tuple[NDArray[np.intp], Float32]: ...
@overload
def nearest(
    queries: OnDevice, target: OnDevice, count: int = 1
) -> tuple[DeviceArray, DeviceArray]: ...
def nearest(queries: Any, target: Any, count: int = 1) -> tuple[Any, Any]:
    """The `count` most similar rows of target (M, C) for each query (K, C), best first.

    Both of unit norm. Indices (K, count) and similarities (K, count) float32; among equals the
    smaller index comes first. On the host or on the GPU: where the arrays are.

    Raises ValueError where the count is not between 1 and M or descriptors are not finite; on a GPU
    those have a similarity of NaN.
    """
    if on_device(queries=queries, target=target):
        from .cuda import similarity as there

        [queries, target] = device_arrays(queries, target)
        return there.nearest(queries, target, count)
    check_host(queries=(queries, 2), target=(target, 2))
    if not 1 <= count <= len(target):
        raise ValueError(f"count {count} must lie between 1 and the {len(target)} target rows")
    indices = np.empty((len(queries), count), np.intp)
    similarity = np.empty((len(queries), count), np.float32)
    for part, block in similarity_blocks(queries, target[None]):
        if count == 1:
            indices[part] = block.argmax(axis=1)[:, None]
        else:
            indices[part] = np.argsort(-block, axis=1, kind="stable")[:, :count]
        similarity[part] = np.take_along_axis(block, indices[part], axis=1)
    return indices, similarity


def similarity_blocks(queries: Float32, target: Float32) -> Iterator[tuple[slice, Float32]]:
    """Yield (which queries, their similarities (k, H * W)), a block of queries at a time.

    queries (K, C) and target (H, W, C) are unit float32 descriptors, so that the cosine is a
    dot product. A block holds at most BLOCK_BYTES of similarities, whatever K is; each block
    reads the target once: (H W C + k C + k H W) * 4 bytes.

    Raises ValueError where descriptors are not finite or the target has no cells.
    """
    cells = target.reshape(-1, target.shape[2])
    for part in blocks(len(queries), len(cells)):
        yield part, products(queries[part], cells)


def blocks(queries: int, cells: int) -> Iterator[slice]:
    """Slices of the queries whose similarities with so many cells fit in BLOCK_BYTES."""
    if cells == 0:
        raise ValueError("the target has no cells")
    step = max(1, BLOCK_BYTES // (4 * cells))
    for start in range(0, queries, step):
        yield slice(start, start + step)


def _halves_up(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """The nearest whole numbers. Adding 1/2 first would round what is just below a half up, too."""
    low = np.floor(values)
    whole: NDArray[np.floating] = low + (values - low >= 0.5)
    return whole
