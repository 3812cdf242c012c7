"""PyTorch beside our kernels: its tensors, its graphs, and the same mathematics written in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from geoaware.kernels.softargmax import SoftArgmax

from .outcomes import MissingError
from .timing import Bench, Call, Contender, Replay


def device_of(bench: Bench) -> torch.device:
    """Where the bench's own arrays are: the GPU, or the host in a dry run.

    Raises MissingError for a PyTorch that knows no GPU.
    """
    if not bench.device.stream.handle:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise MissingError(f"PyTorch {torch.__version__} has no CUDA here")
    return torch.device("cuda")


@contextmanager
def same_stream(bench: Bench) -> Iterator[None]:
    """Let PyTorch enqueue its work where our kernels are, so that the same events time both."""
    if device_of(bench).type == "cpu":
        yield
        return
    with torch.cuda.stream(torch.cuda.ExternalStream(bench.device.stream.handle)):
        yield


def contender(bench: Bench, calls: Sequence[Call]) -> Contender:
    """Calls of PyTorch, captured the way it wants it."""
    return Contender(calls, None if device_of(bench).type == "cpu" else _captured)


def _captured(function: Callable[[], object]) -> Replay:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def tensor(bench: Bench, array: NDArray[np.generic]) -> torch.Tensor:
    """A copy of the array where the bench's own are."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device_of(bench))


def products(bench: Bench, dtype: str, rows: int, channels: int) -> Contender:
    """The product of a random (rows, channels) and the like of it transposed."""
    shape = (rows, channels)
    where = {"device": device_of(bench), "dtype": getattr(torch, dtype)}
    a, b = (torch.randn(shape, **where) for _ in range(2))
    out = torch.empty((rows, rows), **where)
    return contender(bench, [lambda: torch.mm(a, b.T, out=out)])


@dataclass(frozen=True)
class PointMatcher:
    """What `kernels.cuda.matching.match_points` computes: best cell, expected cell, way back.

    What depends on the grid alone is made beforehand: which cells lie in the window of which, and
    the coordinates of all.
    """

    inside: torch.Tensor  # (cells, cells) bool
    coordinates: torch.Tensor  # (cells, 2)
    soft: SoftArgmax

    @classmethod
    def of(cls, bench: Bench, side: int, soft: SoftArgmax) -> PointMatcher:
        """For square maps; `soft` has a window of whole cells."""
        numbers = np.arange(side * side)
        cells = np.stack([numbers % side, numbers // side], axis=1)
        distance = abs(cells[:, None] - cells[None]).max(axis=2)
        inside = distance <= (side if soft.radius is None else soft.radius)
        return cls(tensor(bench, inside), tensor(bench, cells.astype(np.float32)), soft)

    def match(
        self, source: torch.Tensor, target: torch.Tensor, asked: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Expected cells (K, 2), peaks (K,), their similarity (K,), and the way back (K,).

        source, target: (cells, C) of unit norm; asked: (K,) rows of the source.
        """
        similarity = (source[asked] @ target.T).float()
        best, peaks = similarity.max(dim=1)
        outside = 0.0 if self.soft.variant == "zeroed" else -torch.inf
        kept = torch.where(self.inside[peaks], similarity, outside)
        expected = torch.softmax(kept / self.soft.temperature, dim=1) @ self.coordinates
        back = (target[peaks] @ source.T).argmax(dim=1)
        return expected, peaks, best, back


def both_ways(
    source: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The most similar row both ways between (N, C) and (M, C) of unit norm, and how similar."""
    similarity = source @ target.T
    forward, backward = similarity.max(dim=1), similarity.max(dim=0)
    return forward.values, forward.indices, backward.values, backward.indices
