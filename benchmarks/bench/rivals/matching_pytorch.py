"""The mathematics of our matching in PyTorch, as people write it and as two systems do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from geoaware.kernels import SoftArgmax
from geoaware.runtime import GeoAwareError
from geoaware.runtime.doctor import require

if TYPE_CHECKING:
    import torch

    # Expected cells (K, 2) and peaks (K,), on the host.
    Answer: TypeAlias = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class MatchingRival:
    """Matching on a square grid. What depends on the grid alone is made beforehand.

    inside: (cells, cells) bool, which cells lie in the window around each. coordinates: (cells, 2)
    float32. asked: (K,) numbers of the source's cells. Maps are (side, side, channels) tensors.
    """

    inside: torch.Tensor
    coordinates: torch.Tensor
    asked: torch.Tensor
    soft: SoftArgmax

    @classmethod
    def of(
        cls, side: int, asked: NDArray[np.intp], soft: SoftArgmax, threads: int, on_gpu: bool
    ) -> MatchingRival:
        """asked: cells (x, y) (K, 2). soft: has a window of whole cells.

        Raises GeoAwareError where PyTorch is missing, or has no CUDA where that is asked for.
        """
        require("export", "PyTorch as a rival")
        import torch

        if on_gpu and not torch.cuda.is_available():
            raise GeoAwareError(f"PyTorch {torch.__version__} has no CUDA here")
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = False  # float32 means float32, on both sides
        radius = side if soft.radius is None else soft.radius
        near = abs(np.arange(side)[:, None] - np.arange(side)) <= radius
        cells = np.mgrid[:side, :side].reshape(2, -1)[::-1].T.astype(np.float32)
        numbers = asked[:, 1] * side + asked[:, 0]
        place = "cuda" if on_gpu else "cpu"
        tensors = (
            torch.from_numpy(np.ascontiguousarray(each)).to(place)
            for each in (np.kron(near, near), cells, numbers)
        )
        return cls(*tensors, soft)

    def tensor(self, features: NDArray[np.float32]) -> torch.Tensor:
        """A map, in the same memory where that is the host's."""
        import torch

        return torch.from_numpy(features).to(self.asked.device)

    def match(self, source: torch.Tensor, target: torch.Tensor) -> Answer:
        """The asked cells of the source and all of the target, normalised; then as `match_unit`."""
        return self._found(_unit(source.flatten(0, 1)[self.asked]), _unit(target.flatten(0, 1)))

    def match_unit(self, source: torch.Tensor, target: torch.Tensor) -> Answer:
        """Product, peak, window, softmax, expectation: for maps of unit norm, as ours are."""
        return self._found(source.flatten(0, 1)[self.asked], target.flatten(0, 1))

    def match_all(self, source: torch.Tensor, target: torch.Tensor) -> Answer:
        """As system A: all cells are matched, and the asked ones read from the result."""
        expected, peaks = self._found(*(_unit(each.flatten(0, 1)) for each in (source, target)))
        return expected[self.asked], peaks[self.asked]

    def match_one_by_one(self, source: torch.Tensor, target: torch.Tensor) -> Answer:
        """As system B: a loop over the points, each with its own cosines."""
        import torch
        from torch.nn.functional import cosine_similarity

        queries, cells = source.flatten(0, 1)[self.asked], target.flatten(0, 1)
        found = [
            self._located(cosine_similarity(query[None], cells, dim=-1)[None]) for query in queries
        ]
        expected, peaks = zip(*found, strict=True)
        return torch.cat(expected).cpu(), torch.cat(peaks).cpu()

    def _found(self, queries: torch.Tensor, cells: torch.Tensor) -> Answer:
        expected, peaks = self._located(queries @ cells.T)
        return expected.cpu(), peaks.cpu()

    def _located(self, similarity: torch.Tensor) -> Answer:
        """Expected cells and peaks of similarities (K, cells)."""
        import torch

        peaks = similarity.argmax(dim=1)
        outside = 0.0 if self.soft.variant == "zeroed" else -torch.inf
        kept = torch.where(self.inside[peaks], similarity, outside)
        weights = torch.softmax(kept / self.soft.temperature, dim=1)
        return weights @ self.coordinates, peaks


def _unit(features: torch.Tensor) -> torch.Tensor:
    from torch.nn.functional import normalize

    return normalize(features, dim=-1)
