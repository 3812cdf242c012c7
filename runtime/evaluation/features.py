"""The features of images, in the store by the end: the first of an evaluation's two loops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..bundle import Bundle
from ..engines import Device
from ..extraction import Extraction, extract_all
from ..parallel import engine_threads
from ..pipeline import Pipeline
from ..store import FeatureStore
from .watch import Watch


def ensure(
    paths: Sequence[Path],
    bundle: Bundle,
    store: FeatureStore,
    mirrored: bool,
    device: Device,
    workers: int,
    watch: Watch,
) -> Extraction:
    """See that the store has the features of all images, or of their mirror images.

    The bundle's models are loaded only where something is missing. Raises GeoAwareError where
    they cannot be, or an entry cannot be written.
    """

    def pipeline() -> Pipeline:
        return Pipeline(bundle, device, engine_threads(workers))

    what = f"{bundle.manifest.name}: {'mirrored ' if mirrored else ''}features"
    with watch.stage(what, len(paths), "images") as advance:
        result = extract_all(paths, store, pipeline, mirrored, workers, advance)
    for path in result.damaged:
        watch.note(f"{path}: did not hold, made again")
    return result
