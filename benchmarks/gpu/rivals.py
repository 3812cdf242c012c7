"""Our matching against the same mathematics in PyTorch, in the same run and on the same inputs.

Results are compared first. Then both take turns: as a user calls them, launches included, and on
the GPU alone, both from CUDA graphs. "compiled" is torch.compile as it comes, "compiled, graphs"
its mode reduce-overhead, which replays CUDA graphs by itself. PyTorch's float16 products are
rounded to float16, ours are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.matching import match_points
from geoaware.kernels.cuda.similarity import both_ways

from . import pytorch
from .inputs import Sizes, asked_cells, map_pairs
from .kernels import DTYPES, SOFT
from .keys import indices, scores
from .outcomes import Case, Figures, Target
from .timing import Bench, Call, Contender, called_times, gpu_times

Compile = Callable[[Callable[..., Any]], Callable[..., Any]]
MODES: dict[str, Compile] = {
    "eager": lambda function: function,
    "compiled": lambda function: torch.compile(function, fullgraph=True, dynamic=False),
    "compiled, graphs": lambda function: torch.compile(
        function, fullgraph=True, dynamic=False, mode="reduce-overhead"
    ),
}
WITH_TARGET = "eager", "compiled"
REPLAYS_BY_ITSELF = "compiled, graphs"
FEW, DENSE = Target("times_ours_called", at_least=5.0), Target("times_ours_called", at_least=1.5)
# How far cells and similarities may lie apart: PyTorch's similarities are of the inputs' type.
CELLS = {"float16": 0.1, "float32": 2e-3}
SIMILARITY = {"float16": 2e-3, "float32": 1e-5}


def cases() -> list[Case]:
    """All rivals at full size on the GPU."""
    from .machine import gpu_bench

    torch.backends.cuda.matmul.allow_tf32 = False  # float32 means float32, on both sides
    return rival_cases(gpu_bench(), Sizes(), MODES)


def rival_cases(bench: Bench, sizes: Sizes, modes: Iterable[str]) -> list[Case]:
    """Every way to run PyTorch, with a few points and with all cells, in both types."""
    duels = (
        (f"match of {sizes.points} points", points, FEW),
        ("both ways, dense", dense, DENSE),
    )
    return [
        (
            f"{title}, {dtype}, PyTorch {mode}",
            partial(judged, bench, sizes, dtype, mode, make, goal),
        )
        for mode in modes
        for title, make, goal in duels
        for dtype in DTYPES
    ]


def judged(
    bench: Bench, sizes: Sizes, dtype: str, mode: str, make: Callable[..., Duel], goal: Target
) -> Figures:
    """One comparison; there is a target for PyTorch as it comes, eager and compiled."""
    figures = compared(bench, make(bench, sizes, dtype, MODES[mode]), mode != REPLAYS_BY_ITSELF)
    return figures | {"targets": [goal] if mode in WITH_TARGET else []}


@dataclass(frozen=True)
class Duel:
    """Calls of ours and of the rival on the same inputs, and how far results lie apart."""

    ours: Sequence[Call]
    theirs: Sequence[Call]
    differences: Callable[[Any, Any], Figures]


def compared(bench: Bench, duel: Duel, captured: bool) -> Figures:
    """Results of the first inputs compared, then both timed.

    captured: whether PyTorch's work can be captured in a graph.
    """
    with torch.inference_mode(), pytorch.same_stream(bench):
        figures = duel.differences(duel.ours[0](), duel.theirs[0]())
        contenders = {"ours": Contender(duel.ours), "theirs": pytorch.contender(bench, duel.theirs)}
        times = {"called": called_times(bench, contenders)}
        if captured:
            times["gpu"] = gpu_times(bench, contenders)
    for kind, of in times.items():
        for name, each in of.items():
            figures |= each.figures(f"{name}_{kind}")
        figures[f"times_ours_{kind}"] = of["theirs"].median / of["ours"].median
    return figures


def points(bench: Bench, sizes: Sizes, dtype: str, compiled: Compile) -> Duel:
    """A few points: the most similar cell, the expected one around it, and the way back."""
    cells = asked_cells(sizes)
    numbers = (cells[:, 1] * sizes.side + cells[:, 0]).astype(np.int64)
    asked, theirs_asked = DeviceArray.of(bench.device, cells), pytorch.tensor(bench, numbers)
    matcher = compiled(pytorch.PointMatcher.of(bench, sizes.side, SOFT).match)
    maps = _maps(bench, sizes, dtype)
    return Duel(
        [lambda s=s, t=t: match_points(s, t, asked, SOFT) for (s, t), _ in maps],
        [lambda s=s, t=t: matcher(s, t, theirs_asked) for _, (s, t) in maps],
        lambda ours, theirs: _points_apart(ours, theirs, dtype),
    )


def dense(bench: Bench, sizes: Sizes, dtype: str, compiled: Compile) -> Duel:
    """The most similar cell of every cell, both ways."""
    matcher = compiled(pytorch.both_ways)
    maps = _maps(bench, sizes, dtype)
    flat = [tuple(each.reshape(sizes.cells, sizes.channels) for each in ours) for ours, _ in maps]
    return Duel(
        [lambda a=a, b=b: both_ways(a, b) for a, b in flat],
        [lambda s=s, t=t: matcher(s, t) for _, (s, t) in maps],
        lambda ours, theirs: _dense_apart(ours, theirs, dtype),
    )


def _maps(bench: Bench, sizes: Sizes, dtype: str) -> list[tuple[tuple[Any, Any], tuple[Any, Any]]]:
    """Ours (H, W, C) and PyTorch's (H W, C) of the same values."""
    nbytes = 2 * sizes.cells * sizes.channels * np.dtype(dtype).itemsize
    flat = (sizes.cells, sizes.channels)
    return [
        (
            tuple(DeviceArray.of(bench.device, each) for each in pair),
            tuple(pytorch.tensor(bench, each.reshape(flat)) for each in pair),
        )
        for pair in map_pairs(sizes, dtype, bench.sets(nbytes))
    ]


def _points_apart(ours: Any, theirs: Any, dtype: str) -> Figures:
    expected, peaks, best, back = (each.cpu().numpy() for each in theirs)
    found = ours.numpy()
    _check_equal("peaks", found.peaks, peaks)
    _check_equal("ways back", ours.back.numpy(), back)
    return _near("cells", found.cells, expected, CELLS[dtype]) | _near(
        "similarity", found.similarity, best, SIMILARITY[dtype]
    )


def _dense_apart(ours: Any, theirs: Any, dtype: str) -> Figures:
    figures: Figures = {}
    for way, keys, (best, index) in zip(
        ("forward", "backward"), ours, (theirs[:2], theirs[2:]), strict=True
    ):
        key = keys.numpy()
        _check_equal(way, indices(key), index.cpu().numpy())
        figures |= _near(way, scores(key), best.float().cpu().numpy(), SIMILARITY[dtype])
    return figures


def _check_equal(what: str, ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> None:
    if different := int((ours != theirs).sum()):
        raise RuntimeError(f"{different} of {len(ours)} {what} are not PyTorch's")


def _near(
    what: str, ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any], most: float
) -> Figures:
    difference = float(abs(ours - theirs).max())
    if not difference <= most:
        raise RuntimeError(f"{what} lie up to {difference:g} from PyTorch's, more than {most:g}")
    return {f"{what}_apart": difference}
