"""Pairs to outcomes, from stored features alone: the second of an evaluation's two loops."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TypeVar

import numpy as np

from ...kernels import one_thread
from ..datasets import Pair
from ..datasets.keypoints import mirror_partners
from ..errors import GeoAwareError
from ..matcher import Matcher
from ..parallel import in_threads
from ..pose import Alignment, Pose
from ..store import FeatureStore, Key, StoredMap
from .masks import Masks
from .outcome import Outcome

Made = TypeVar("Made")


@dataclass(frozen=True)
class Predictor:
    """Finds the keypoints of pairs with a matcher and the stores of its bundles.

    keys: of every image, as it is; its mirror image has the same digest.
    dataset: its name, for the tables of keypoints that change places in a mirror.
    mutual: whether matches are checked to be mutual nearest neighbours.
    alignment: whether and by what the source or its mirror image is chosen.
    masks: of the images' objects, for alignment by mask.
    """

    dataset: str
    matcher: Matcher
    stores: Sequence[FeatureStore]
    keys: Mapping[Path, Key]
    mutual: bool = False
    alignment: Alignment | None = None
    masks: Masks | None = None

    def outcomes(self, pairs: Sequence[Pair], workers: int) -> Iterator[list[Outcome]]:
        """Yield the outcomes of pairs, some at a time, in any order."""
        return self.each(self._outcome, pairs, workers)

    def each(
        self,
        function: Callable[[Pair, Sequence[StoredMap], Sequence[StoredMap]], Made],
        pairs: Sequence[Pair],
        workers: int,
    ) -> Iterator[list[Made]]:
        """Yield what a function makes of pairs and the features of their sources and targets.

        Pairs of one target come together and read it once. What is made of a pair depends on
        the pair alone: not on the workers, nor on other pairs.
        """
        by_target: dict[Path, list[Pair]] = defaultdict(list)
        for pair in pairs:
            by_target[pair.target.path].append(pair)

        def of_target(path: Path) -> list[Made]:
            target = self._maps(path)
            return [of_pair(pair, target) for pair in by_target[path]]

        stopped = Event()

        def of_pair(pair: Pair, target: Sequence[StoredMap]) -> Made:
            if stopped.is_set():
                raise GeoAwareError("stopped")
            try:
                return function(pair, self._maps(pair.source.path), target)
            except GeoAwareError as error:
                raise type(error)(f"{pair.name}: {error}") from None

        with one_thread():
            working = in_threads(of_target, by_target, workers)
            try:
                for _, made in working:
                    yield made
            finally:
                stopped.set()
                working.close()

    def _outcome(
        self, pair: Pair, source: Sequence[StoredMap], target: Sequence[StoredMap]
    ) -> Outcome:
        asked = pair.source.points[pair.mutual]
        if not self.mutual and self.alignment is None:
            setting = self.matcher.matching.soft_argmax()
            [predicted], similarity = self.matcher.find(source, target, asked, [setting])
            return Outcome(pair, predicted, similarity)
        matches = self.matcher.match(source, target, asked, self._pose(pair))
        nearest = matches.mutual if self.mutual else None
        return Outcome(pair, matches.target, matches.similarity, nearest, matches.mirrored)

    def _maps(self, path: Path, mirrored: bool = False) -> list[StoredMap]:
        key = Key(self.keys[path].digest, mirrored)
        return [store.load(key) for store in self.stores]

    def _pose(self, pair: Pair) -> Pose | None:
        if self.alignment is None:
            return None
        ids = [number for number, mutual in zip(pair.ids, pair.mutual, strict=True) if mutual]
        partners = mirror_partners(self.dataset, pair.category, ids)
        assert partners is not None, "checked before the run"
        masks = None
        if self.masks is not None:
            masks = self.masks.of(pair.source), self.masks.of(pair.target)
        return Pose(self._maps(pair.source.path, mirrored=True), np.asarray(partners), masks)
