"""Every kernel's time against its floor: bytes at the rate of a copy, operations at a product's.

Bytes are those that must move between the device's memory and its multiprocessors: each input that
is needed once, each output once. The operations are two a product's term. The larger of the two
floors counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.fuse import fuse
from geoaware.kernels.cuda.matching import match_points
from geoaware.kernels.cuda.preprocess import to_frame
from geoaware.kernels.cuda.similarity import both_ways, nearest_keys
from geoaware.kernels.cuda.softargmax import expected_cells
from geoaware.kernels.softargmax import SoftArgmax

from .ceilings import Ceilings
from .inputs import Sizes, asked_cells, map_pairs
from .outcomes import Case, Figures, MissingError, Target
from .timing import Bench, Call, Contender, called_times, gpu_times

DTYPES = ("float16", "float32")
SOFT = SoftArgmax(window=7, temperature=0.1, variant="zeroed")
FEW, DENSE = Target("times_floor", at_most=2.0), Target("times_floor", at_most=1.5)


def cases() -> list[Case]:
    """Every kernel at full size on the GPU."""
    from .machine import gpu_bench

    return kernel_cases(gpu_bench(), Sizes())


def kernel_cases(bench: Bench, sizes: Sizes) -> list[Case]:
    """The ceilings, then every kernel."""
    kernels = Kernels(bench, sizes)
    measures = {
        f"nearest of {sizes.points} queries": kernels.few,
        "both ways, dense": kernels.dense,
        f"soft-argmax of {sizes.points} queries, map in the cache": kernels.soft_argmax,
        "soft-argmax of all cells, map in the cache": kernels.soft_argmax_of_all,
        f"match of {sizes.points} points and the way back": kernels.match,
        "fuse": kernels.fuse,
        "fuse, channels first": kernels.fuse_channels_first,
    }
    return [
        *kernels.ceilings.cases(),
        *(
            (f"{title}, {dtype}", partial(measure, dtype))
            for title, measure in measures.items()
            for dtype in DTYPES
        ),
        *(
            (f"photograph to frame, {resample}", partial(kernels.frame, resample))
            for resample in ("lanczos", "bilinear", "bilinear-no-antialias")
        ),
    ]


class Kernels:
    """The measurements, a method for each kernel."""

    def __init__(self, bench: Bench, sizes: Sizes) -> None:
        self._bench, self._sizes = bench, sizes
        self.ceilings = Ceilings(bench, sizes)

    def few(self, dtype: str) -> Figures:
        """The most similar of all cells for a few queries: every descriptor is read once."""
        sets = self._rows(dtype, read=1)
        queries = [self._copy(source.numpy()[: self._sizes.points]) for source, _ in sets]
        calls = [
            lambda q=q, t=target: nearest_keys(q, t)
            for q, (_, target) in zip(queries, sets, strict=True)
        ]
        moved = sets[0][1].nbytes + queries[0].nbytes + 8 * self._sizes.points
        return self._measured(calls, moved) | {"targets": [FEW]}

    def dense(self, dtype: str) -> Figures:
        """The most similar cell of every cell, both ways, from one pass over the products."""
        sets = self._rows(dtype, read=2)
        calls = [lambda a=a, b=b: both_ways(a, b) for a, b in sets]
        cells, channels = sets[0][0].shape
        moved = 2 * sets[0][0].nbytes + 2 * 8 * cells
        operations = 2 * cells * cells * channels
        try:
            rate = self.ceilings.rate(dtype)
        except MissingError as reason:
            return self._timed(calls) | {"no_floor": str(reason)}
        return self._measured(calls, moved, operations / rate) | {"targets": [DENSE]}

    def soft_argmax(self, dtype: str) -> Figures:
        """The expected cells around a few peaks, whose map the search has left in the cache."""
        return self._soft_argmax(dtype, self._sizes.points)

    def soft_argmax_of_all(self, dtype: str) -> Figures:
        """The expected cells around the peaks of all cells."""
        return self._soft_argmax(dtype, self._sizes.cells)

    def _soft_argmax(self, dtype: str, count: int) -> Figures:
        [(source, target)] = self._maps(dtype, read=0)
        queries = self._copy(source.numpy().reshape(-1, source.shape[2])[:count])
        keys = nearest_keys(queries, target.reshape(-1, target.shape[2]))
        return self._timed([lambda: expected_cells(queries, target, keys, SOFT)])

    def match(self, dtype: str) -> Figures:
        """All of a match of a few points: both maps are read once."""
        sets = self._maps(dtype, read=2)
        asked = self._copy(asked_cells(self._sizes))
        calls = [lambda s=s, t=t: match_points(s, t, asked, SOFT) for s, t in sets]
        return self._measured(calls, 2 * sets[0][0].nbytes)

    def fuse(self, dtype: str) -> Figures:
        """Maps of several sides to one of unit descriptors, channels last on both sides."""
        return self._fuse(dtype, [(side, side, channels) for side, channels in self._sizes.maps])

    def fuse_channels_first(self, dtype: str) -> Figures:
        """The same from maps as networks give them."""
        shapes = [(channels, side, side) for side, channels in self._sizes.maps]
        return self._fuse(dtype, shapes, channels_first=True)

    def _fuse(
        self, dtype: str, shapes: Sequence[tuple[int, int, int]], channels_first: bool = False
    ) -> Figures:
        sizes, random = self._sizes, np.random.default_rng(0)
        maps = [random.standard_normal(shape, np.float32).astype(dtype) for shape in shapes]
        read = sum(each.nbytes for each in maps)
        channels = sum(channels for _, channels in sizes.maps)
        written = sizes.cells * channels * np.dtype(dtype).itemsize
        sets = [[self._copy(each) for each in maps] for _ in range(self._bench.sets(read))]
        calls = [
            lambda s=s: fuse(
                s,
                sizes.weights,
                (sizes.side, sizes.side),
                "backbone",
                channels_first=channels_first,
                dtype=dtype,
            )
            for s in sets
        ]
        return self._measured(calls, read + written)

    def frame(self, resample: str) -> Figures:
        """A photograph as the network sees it."""
        sizes = self._sizes
        height, width = sizes.photograph
        random = np.random.default_rng(0)
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        inner = (sizes.frame, max(1, sizes.frame * height // width))
        count = self._bench.sets(pixels.nbytes)
        images = [self._copy(np.roll(pixels, number, axis=0)) for number in range(count)]
        calls = [lambda i=i: to_frame(i, sizes.frame, inner, resample=resample) for i in images]
        return self._measured(calls, pixels.nbytes + 4 * 3 * sizes.frame**2)

    def _measured(self, calls: Sequence[Call], moved: int, computing_s: float = 0.0) -> Figures:
        """GPU time of one call, its floor, and the time of a call from Python."""
        timed = self._timed(calls)
        floor = max(moved / self.ceilings.bandwidth, computing_s) * 1e6
        return {
            **timed,
            "megabytes": moved / 1e6,
            "floor_us": floor,
            "times_floor": timed["gpu_us"] / floor,
        }

    def _timed(self, calls: Sequence[Call]) -> Figures:
        contenders = {"ours": Contender(calls)}
        gpu = gpu_times(self._bench, contenders)["ours"]
        called = called_times(self._bench, contenders)["ours"]
        return {**gpu.figures("gpu"), **called.figures("called")}

    def _maps(self, dtype: str, read: int) -> list[tuple[DeviceArray, DeviceArray]]:
        """Sources and targets; read: how many of the two a call reads, 0 for a cached pair."""
        nbytes = self._sizes.cells * self._sizes.channels * np.dtype(dtype).itemsize
        count = self._bench.sets(read * nbytes) if read else 1
        pairs = map_pairs(self._sizes, dtype, count)
        return [(self._copy(source), self._copy(target)) for source, target in pairs]

    def _rows(self, dtype: str, read: int) -> list[tuple[DeviceArray, DeviceArray]]:
        flat = self._sizes.cells, self._sizes.channels
        return [(a.reshape(*flat), b.reshape(*flat)) for a, b in self._maps(dtype, read)]

    def _copy(self, array: np.ndarray[Any, Any]) -> DeviceArray:
        return DeviceArray.of(self._bench.device, array)
