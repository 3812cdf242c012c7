"""Which pairs a step of training is made of: a function of the seed and the step alone."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache

from ..runtime.datasets import Pair
from ..runtime.errors import InputError

Draw = Callable[[int], list[Pair]]


def epochs(pairs: Sequence[Pair], count: int, seed: int) -> Draw:
    """Steps of `count` pairs each, that go through all pairs in an order new in every epoch.

    Raises InputError where there are fewer pairs than a step takes.
    """
    if len(pairs) < count:
        raise InputError(f"batch.pairs is {count}, and there are only {len(pairs)} pairs")
    length = len(pairs) // count

    @lru_cache(2)
    def order(epoch: int) -> list[int]:
        numbers = list(range(len(pairs)))
        random.Random(f"{seed}/epoch {epoch}").shuffle(numbers)
        return numbers

    def draw(step: int) -> list[Pair]:
        epoch, place = divmod(step, length)
        return [pairs[k] for k in order(epoch)[place * count : (place + 1) * count]]

    return draw


def among_images(pairs: Sequence[Pair], images: int, count: int, seed: int) -> Draw:
    """Steps of up to `count` pairs among so many random images of one random category.

    Categories come up as often as they have pairs. Raises InputError where no category has that
    many images.
    """
    listed: dict[str, dict[object, dict[object, Pair]]] = defaultdict(lambda: defaultdict(dict))
    for pair in pairs:
        listed[pair.category][pair.source.path][pair.target.path] = pair
    shown = {
        category: sorted({*sources, *(each for targets in sources.values() for each in targets)})
        for category, sources in listed.items()
    }
    large = [category for category in sorted(shown) if len(shown[category]) >= images]
    if not large:
        most = max(map(len, shown.values()), default=0)
        raise InputError(f"batch.images is {images}, and no category has more than {most} images")
    frequency = [sum(map(len, listed[category].values())) for category in large]

    def draw(step: int) -> list[Pair]:
        chance = random.Random(f"{seed}/step {step}")
        while True:
            [category] = chance.choices(large, frequency)
            chosen = chance.sample(shown[category], images)
            targets_of = listed[category]
            found = [
                targets_of[source][target]
                for source in chosen
                if source in targets_of
                for target in chosen
                if target in targets_of[source]
            ]
            if found:
                return chance.sample(found, min(count, len(found)))

    return draw
