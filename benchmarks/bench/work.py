"""The suite `work`: what ours costs when there is more to do.

Features of `lite` for larger frames and more images, from photographs in memory; matching on larger
grids, of more points and of more pairs, from feature maps in memory. The sizes of one kind take
turns, so that drift hits all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, islice
from math import log
from typing import Any

import numpy as np

from geoaware.examples import PHOTOGRAPHS
from geoaware.runtime import Bundle, FeatureMap, Frame, GeoAwareError, Pipeline
from geoaware.runtime.device_features import DeviceFeatureMap
from geoaware.runtime.images import load
from geoaware.runtime.matcher import Matcher

from .bundles import bundle
from .maps import Float32, asked_cells, map_pairs
from .matching import Case, gpu_for, ours
from .rows import OURS, Row
from .settings import Settings, Watch
from .timing import Call, interleaved

RECIPE = "lite"
SIDES = (256, 512, 768)
BATCHES = (1, 2, 4, 8)
GRIDS = (16, 24, 32, 48, 64, 96)
KEYPOINTS = (1, 4, 16, 64, 256, 1024)
PAIRS = (1, 4, 16, 64)

POINTS, GRID, CHANNELS = 12, 60, 768  # of matching, where something else varies
PAIR_GRID, PAIR_CHANNELS = 32, 496  # as `lite` has them

Calls = dict[int, Sequence[Call]]  # by how much is done


def rows(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Milliseconds of ours, for every amount of each kind of work."""
    gpu = gpu_for(settings.device, watch)
    kinds: dict[str, Callable[[], Calls]] = {
        "frame side": lambda: _frame_sides(settings, watch),
        "grid": lambda: _grids(gpu),
        "keypoints": lambda: _keypoints(gpu),
        "batch": lambda: _batches(settings),
        "pairs": lambda: _pairs(gpu),
    }
    for what, make in kinds.items():
        watch.note(f"work: {what}")
        try:
            calls = make()
        except GeoAwareError as error:  # a bundle cannot be built here
            yield _row(what, SIDES[0], missing=str(error))
            continue
        spreads = interleaved({str(at): each for at, each in calls.items()}, settings.pace)
        for at in calls:
            yield _row(what, at, spread=spreads[str(at)])


def fit(points: Iterable[tuple[float, float]]) -> float:
    """The exponent p of cost = c * work^p: least squares on logarithms of (work, cost).

    Raises ValueError unless two amounts of work differ.
    """
    x, y = np.array([(log(work), log(cost)) for work, cost in points]).reshape(-1, 2).T
    if len(x) == 0 or np.ptp(x) == 0:
        raise ValueError("an exponent takes the cost of two amounts of work")
    x = x - x.mean()
    return float(x @ y / (x @ x))


def _frame_sides(settings: Settings, watch: Watch) -> Calls:
    own = Bundle.open(RECIPE).manifest.recipe.frame.side
    bundles = {side: bundle(RECIPE, "fp32", None if side == own else side, watch) for side in SIDES}
    return {
        side: _extractions(Pipeline(each, settings.device, settings.threads), 1)
        for side, each in bundles.items()
    }


def _batches(settings: Settings) -> Calls:
    pipeline = Pipeline(Bundle.open(RECIPE), settings.device, settings.threads)
    return {count: _extractions(pipeline, count) for count in BATCHES}


def _extractions(pipeline: Pipeline, count: int) -> list[Call]:
    """Calls that extract so many of the photographs, on to the descriptors on the host."""
    pictures = [load(path) for path in PHOTOGRAPHS]

    def extract(first: int) -> list[Float32]:
        images = list(islice(cycle(pictures), first, first + count))
        return [each.descriptors for each in pipeline.extract_batch(images)]

    return [lambda first=first: extract(first) for first in range(len(pictures))]


def _grids(gpu: Any) -> Calls:
    return {
        grid: ours(Case(POINTS, grid, CHANNELS), map_pairs(grid, CHANNELS), gpu) for grid in GRIDS
    }


def _keypoints(gpu: Any) -> Calls:
    pairs = map_pairs(GRID, CHANNELS)
    return {count: ours(Case(count, GRID, CHANNELS), pairs, gpu) for count in KEYPOINTS}


def _pairs(gpu: Any) -> Calls:
    """Whole matches, with the way back, one pair after the other."""
    matcher = Matcher(Bundle.open(RECIPE).manifest.recipe.matching)
    pairs = [
        tuple(_feature_map(each, gpu) for each in pair)
        for pair in map_pairs(PAIR_GRID, PAIR_CHANNELS)
    ]
    points = asked_cells(PAIR_GRID, POINTS) + 0.5

    def match(first: int, count: int) -> None:
        for source, target in islice(cycle(pairs), first, first + count):
            matcher.match(source, target, points)

    return {
        count: [
            lambda n=count, first=first: match(first, n) for first in range(0, len(pairs), count)
        ]
        for count in PAIRS
    }


def _feature_map(descriptors: Float32, gpu: Any) -> FeatureMap:
    """A map whose cells are the pixels of its image."""
    side = len(descriptors)
    frame = Frame.fit("stretch", side, side, side)
    if gpu is None:
        return FeatureMap(descriptors, frame, RECIPE)
    from geoaware.kernels.cuda.arrays import DeviceArray

    return DeviceFeatureMap(DeviceArray.of(gpu, descriptors), frame, RECIPE)


def _row(what: str, at: int, **found: Any) -> Row:
    return Row(suite="work", case={"what": what, "at": at}, contender=OURS, unit="ms", **found)
