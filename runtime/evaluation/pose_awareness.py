"""Global pose awareness: do a bundle's descriptors tell which way an object faces?

Of template views of other objects, the one from the query's own direction should have the
nearest descriptors. "Telling Left from Right" (CVPR 2024), section 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..engines import Device
from ..errors import GeoAwareError
from ..features import Features
from ..pose import Mask, instance_distance
from ..store import FeatureStore
from .features import ensure
from .masks import read_mask
from .views import Templates, View
from .watch import Watch

OPPOSITES = (("left", "right"), ("front", "back"))


@dataclass(frozen=True, eq=False)
class Guess:
    """How near a query is to each template.

    distances: (sets, directions) instance-matching distances.
    """

    query: View
    sets: tuple[str, ...]
    directions: tuple[str, ...]
    distances: NDArray[np.float64]

    def among(self, directions: Sequence[str]) -> str:
        """The direction that most sets have nearest; among equals, the nearest on average."""
        columns = [self.directions.index(each) for each in directions]
        distances = self.distances[:, columns]
        votes = np.bincount(distances.argmin(axis=1), minlength=len(columns))
        mean = np.where(votes == votes.max(), distances.mean(axis=0), np.inf)
        return directions[int(mean.argmin())]

    @property
    def direction(self) -> str:
        """The nearest of all directions."""
        return self.among(self.directions)


@dataclass(frozen=True)
class Share:
    """How many of some queries were told rightly."""

    correct: int
    of: int


@dataclass(frozen=True)
class PoseAwareness:
    """What a bundle made of the queries."""

    bundle: str
    hash: str
    guesses: tuple[Guess, ...]

    def accuracy(self) -> dict[str, Share]:
        """The shares of the paper, by name.

        all: the nearest of all directions is the query's. left/right, front/back: of the queries
        that show one of the two, those that are nearer to it than to the other; either: both
        together.
        """
        told = {"all": [each.direction == each.query.direction for each in self.guesses]}
        told["either"] = []
        for pair in OPPOSITES:
            told["/".join(pair)] = correct = [
                each.among(pair) == each.query.direction
                for each in self.guesses
                if each.query.direction in pair and {*pair} <= {*each.directions}
            ]
            told["either"] += correct
        return {name: Share(sum(each), len(each)) for name, each in told.items()}

    def confusion(self) -> dict[str, dict[str, int]]:
        """How many queries of a direction were nearest to each direction."""
        directions = self.guesses[0].directions
        counts = {true: dict.fromkeys(directions, 0) for true in directions}
        for each in self.guesses:
            counts[each.query.direction][each.direction] += 1
        return counts


def guess(
    query: View,
    features: Features,
    templates: Mapping[str, Mapping[str, Features]],
    directions: tuple[str, ...],
    mask: Mask | None = None,
) -> Guess:
    """Compare a query with templates, by set and direction.

    With the query's mask, every cell inside it is matched with the nearest of all the template's
    cells; without, mutual nearest neighbours are matched.

    Raises GeoAwareError where descriptors are not finite or the mask covers no cell.
    """

    def distance(template: Features) -> float:
        frame = template.grid.frame
        masks = None if mask is None else (mask, np.ones((frame.height, frame.width), np.bool_))
        return instance_distance(features, template, masks)

    try:
        found = [[distance(views[each]) for each in directions] for views in templates.values()]
    except ValueError as error:
        raise GeoAwareError(f"{query.path}: cannot be compared: {error}") from None
    if not np.isfinite(found).all():
        raise GeoAwareError(f"{query.path}: its mask is too small to cover a cell")
    return Guess(query, tuple(templates), directions, np.array(found))


def analyse(
    bundle: Bundle,
    queries: Sequence[View],
    templates: Templates,
    store: Path,
    masks: Path | None,
    device: Device,
    workers: int,
    watch: Watch,
) -> PoseAwareness:
    """Compare every query with the template sets it does not belong to itself.

    store: the root of the feature store. masks: a folder laid out like the queries'.

    Raises InputError where a query has no set to be compared with or no mask, GeoAwareError
    where an image cannot be read.
    """
    features = FeatureStore(store, bundle.manifest.hash())
    compared = [(query, templates.without(query)) for query in queries]
    paths = sorted({view.path for view in (*queries, *templates.views)})
    done = ensure(paths, bundle, features, False, device, workers, watch)
    if done.failed:
        path, problem = min(done.failed.items())
        raise GeoAwareError(f"{path}: {problem}")
    maps = {view.path: features.load(done.keys[view.path]) for view in templates.views}
    guesses = []
    with watch.stage(f"{bundle.manifest.name}: distances", len(queries), "images") as advance:
        for query, sets in compared:
            seen = features.load(done.keys[query.path])
            size = seen.grid.frame.width, seen.grid.frame.height
            mask = None if masks is None else read_mask(masks / query.name, size)
            others = {
                name: {direction: maps[view.path] for direction, view in views.items()}
                for name, views in sets.items()
            }
            guesses.append(guess(query, seen, others, templates.directions, mask))
            advance(1)
    return PoseAwareness(bundle.manifest.name, features.bundle, tuple(guesses))
