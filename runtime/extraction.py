"""Images to stored features: each image's descriptors are made once, and kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ImageOps

from .errors import GeoAwareError
from .images import load
from .parallel import in_threads
from .store import FeatureStore, Key

if TYPE_CHECKING:
    from .pipeline import Pipeline


@dataclass
class Extraction:
    """What a call of `extract_all` did.

    keys: the store's key of every image that has an entry now, by path.
    failed: what is wrong with the images that cannot be read, by path.
    extracted: how many different images went through the network.
    damaged: entries that did not hold and were made again.
    """

    keys: dict[Path, Key] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)
    extracted: int = 0
    damaged: list[Path] = field(default_factory=list)

    @property
    def from_store(self) -> int:
        """How many different images were in the store already."""
        return len(set(self.keys.values())) - self.extracted


def extract_all(
    images: Sequence[Path],
    store: FeatureStore,
    pipeline: Callable[[], Pipeline],
    mirrored: bool = False,
    workers: int = 1,
    done: Callable[[int], None] = lambda count: None,
) -> Extraction:
    """See that the store has the features of every image; what is there is checked and kept.

    pipeline: gives what extracts; called once, and only where something must be extracted.
    mirrored: whether the images' mirror images are meant.
    done: told how many images are done since it was told last.

    What was stored before an interruption stays, so the next call goes on from there. Raises
    GeoAwareError where an entry cannot be written.
    """
    result = Extraction()
    missing: dict[Key, list[Path]] = defaultdict(list)
    for path, found in in_threads(lambda path: _look_up(path, store, mirrored), images, workers):
        if isinstance(found, str):
            result.failed[path] = found
            done(1)
            continue
        key, holds = found
        if holds:
            result.keys[path] = key
            done(1)
            continue
        if holds is False and key not in missing:
            result.damaged.append(store.path(key))
        missing[key].append(path)
    if missing:
        _extract(missing, store, pipeline(), workers, result, done)
    return result


def _look_up(path: Path, store: FeatureStore, mirrored: bool) -> tuple[Key, bool | None] | str:
    """An image's key and whether its entry holds, None where there is none; or what is wrong."""
    try:
        key = Key.of(path, mirrored)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return key, store.holds(key)


def _extract(
    missing: dict[Key, list[Path]],
    store: FeatureStore,
    pipeline: Pipeline,
    workers: int,
    result: Extraction,
    done: Callable[[int], None],
) -> None:
    def make(keys: Sequence[Key]) -> dict[Key, str]:
        """Store the features of some images; what is wrong with those that cannot be read."""
        pictures, problems = {}, {}
        for key in keys:
            try:
                picture = load(missing[key][0])
            except GeoAwareError as error:
                problems[key] = str(error).removeprefix(f"{missing[key][0]}: ")
            else:
                pictures[key] = ImageOps.mirror(picture) if key.mirrored else picture
        made = pipeline.extract_batch([*pictures.values()])
        for key, features in zip(pictures, made, strict=True):
            store.save(key, features)
        return problems

    keys = sorted(missing, key=lambda key: key.digest)
    parts = [tuple(keys[i : i + pipeline.batch]) for i in range(0, len(keys), pipeline.batch)]
    for part, problems in in_threads(make, parts, workers):
        for key in part:
            paths = missing[key]
            if key in problems:
                result.failed |= dict.fromkeys(paths, problems[key])
            else:
                result.extracted += 1
                result.keys |= dict.fromkeys(paths, key)
            done(len(paths))
