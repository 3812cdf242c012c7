"""Maps of features, fused to one descriptor a cell on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from ..fuse import Normalise, check
from .arrays import DeviceArray
from .device import Argument

_THREADS, _CELLS, _CHUNK = 256, 32, 128  # as in fuse.cuh
_DTYPES = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16"}
_LONGEST = 32767  # cells along a side, so that positions between them fit in 32 bits


def fuse(
    maps: Sequence[DeviceArray],
    weights: Sequence[Sequence[float]],
    grid: tuple[int, int],
    normalise: Normalise = "tap",
    *,
    channels_first: bool = False,
    dtype: DTypeLike = np.float32,
    out: DeviceArray | None = None,
) -> DeviceArray:
    """Fuse maps to descriptors (rows, columns, channels) of unit norm, float32 or float16.

    As `geoaware.kernels.fuse.fuse`, in float32 inside: maps float32 or float16 (h, w, c), or
    (c, h, w) with `channels_first`, all on one device; weights per backbone. Vectors shorter than
    1e-12 are not made unit but 1e12 times longer, as in the exported graphs. out: descriptors that
    are there, in place of new ones of type `dtype`.

    Raises ValueError where the arguments do not fit together, CudaError where the device fails.
    """
    check([each.shape for each in maps], weights, grid, normalise)
    placed = _placed(maps, grid, channels_first)
    device, channels = maps[0].device, sum(each.channels for each in placed)
    fused = DeviceArray.empty(device, (*grid, channels), dtype) if out is None else out
    _check_types(maps, fused, (*grid, channels))

    cells = grid[0] * grid[1]
    groups = _groups(placed, weights, normalise)
    squares = DeviceArray.empty(device, (placed[-1].end_chunk, cells), np.float32)
    total = DeviceArray.empty(device, (cells,), np.float32)
    for group in groups:
        for each, weight in zip(group.maps, group.weights, strict=True):
            each.launch("sum_squares", [np.float32(weight), np.int32(each.chunk), squares])
    scales = [_scale(group, squares, total, group is groups[0]) for group in groups]
    for group, scale in zip(groups, scales, strict=True):
        for each, weight in zip(group.maps, group.weights, strict=True):
            offsets = np.int32(each.channel), np.int32(channels)
            each.launch("write_map", [np.float32(weight), scale, total, *offsets, fused])
    return fused


@dataclass(frozen=True)
class _PlacedMap:
    """A map and where it goes: its first channel of the descriptor, its first chunk of channels."""

    array: DeviceArray
    grid: tuple[int, int]
    channels_first: bool
    channel: int
    chunk: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        first, second, third = self.array.shape
        return (second, third, first) if self.channels_first else (first, second, third)

    @property
    def channels(self) -> int:
        return self.sizes[2]

    @property
    def end_chunk(self) -> int:
        return self.chunk + _tiles(self.channels, _CHUNK)

    def launch(self, name: str, arguments: Sequence[Argument]) -> None:
        """Launch a kernel over the map; the last argument is what it writes."""
        types = [self.array.dtype, *[each.dtype for each in arguments[-1:] if name == "write_map"]]
        layout = "first" if self.channels_first else "last"
        entry = "_".join([name, layout, *[_DTYPES[each] for each in types]])
        sizes = [np.int32(each) for each in (*self.sizes, *self.grid)]
        self.array.device.kernel("fuse", entry).launch(
            (_tiles(self.grid[0] * self.grid[1], _CELLS), self.end_chunk - self.chunk),
            (_THREADS,),
            [self.array, *sizes, *arguments],
        )


@dataclass(frozen=True)
class _Group:
    """Maps whose weighted channels get the norm `outer` together, or stay as they are."""

    maps: Sequence[_PlacedMap]
    weights: Sequence[float]
    outer: float
    normalised: bool


def _placed(
    maps: Sequence[DeviceArray], grid: tuple[int, int], channels_first: bool
) -> list[_PlacedMap]:
    placed: list[_PlacedMap] = []
    channel = chunk = 0
    for array in maps:
        placed.append(_PlacedMap(array, grid, channels_first, channel, chunk))
        channel, chunk = channel + placed[-1].channels, placed[-1].end_chunk
    longest = max(*grid, *[side for each in placed for side in each.sizes[:2]])
    if longest > _LONGEST:
        raise ValueError(f"{longest} cells along a side; at most {_LONGEST} are supported")
    return placed


def _check_types(
    maps: Sequence[DeviceArray], fused: DeviceArray, shape: tuple[int, int, int]
) -> None:
    for each in [*maps, fused]:
        if each.dtype not in _DTYPES:
            raise ValueError(f"maps and descriptors are float32 or float16, not {each.dtype}")
        if each.device is not fused.device:
            raise ValueError("maps and descriptors lie on different devices")
    if fused.shape != shape:
        raise ValueError(f"the descriptors must have shape {shape}, not {fused.shape}")


def _groups(
    placed: Sequence[_PlacedMap], weights: Sequence[Sequence[float]], normalise: Normalise
) -> list[_Group]:
    if normalise == "tap":
        outer = [weight for group in weights for weight in group]
        return [_Group([each], [1.0], w, True) for each, w in zip(placed, outer, strict=True)]
    remaining = iter(placed)
    return [
        _Group([next(remaining) for _ in group], group, 1.0, normalise == "backbone")
        for group in weights
    ]


def _scale(
    group: _Group, squares: DeviceArray, total: DeviceArray, first_group: bool
) -> DeviceArray:
    """What brings each cell of a group to its norm (cells,); adds its square to `total`."""
    device, cells = squares.device, len(total)
    scale = DeviceArray.empty(device, (cells,), np.float32)
    sizes = [np.int32(each) for each in (group.maps[0].chunk, group.maps[-1].end_chunk, cells)]
    flags = [np.int32(group.normalised), np.int32(first_group)]
    arguments: list[Argument] = [squares, *sizes, np.float32(group.outer), *flags, scale, total]
    device.kernel("fuse", "scale_group_f32").launch(
        (_tiles(cells, _THREADS),), (_THREADS,), arguments
    )
    return scale


def _tiles(length: int, tile: int) -> int:
    return -(-length // tile)
