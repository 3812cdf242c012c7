"""One run of `georun match`: a bundle loaded, the source's features made once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...bundle import Bundle, build_command, find
from ...engines import Device
from ...errors import GeoAwareError, InputError
from ...features import FeatureMap
from ...images import existing
from ...manifest import Manifest
from ...matcher import Matcher
from ...matches import Matches
from ...pipeline import Pipeline
from ...recipe import Matching
from ..console import progress
from ..method import chosen_matching
from ..options import load_pipeline
from .points import on_image
from .report import Picture, Result


@dataclass
class Session:
    """A loaded pipeline, the way to match, and how long each step took."""

    pipeline: Pipeline
    matching: Matching
    timings_ms: dict[str, float] = field(default_factory=dict)

    @classmethod
    def open(
        cls, bundle: str | None, build: bool, device: Device, method: dict[str, Any]
    ) -> Session:
        """Load a bundle, built first if it is not there and `build` is set."""
        if build and bundle:
            _build_if_missing(bundle)
        started = time.perf_counter()
        opened = Bundle.open(bundle)
        matching = chosen_matching(opened.manifest.recipe.matching, method)
        pipeline = load_pipeline(opened, device)
        return cls(pipeline, matching, {"load": (time.perf_counter() - started) * 1000})

    @property
    def manifest(self) -> Manifest:
        """The manifest of the loaded bundle."""
        return self.pipeline.bundle.manifest

    def match(
        self,
        source: str,
        targets: Sequence[str],
        asked: list[Any] | int,
        mutual: bool,
        min_similarity: float | None,
    ) -> list[Result]:
        """Match one source with every target."""
        for path in (source, *targets):
            existing(path)
        matcher = Matcher(self.matching)
        with self._timed("source"):
            first = self.pipeline.extract(source)
        points = first.frame.contains(on_image(asked, first.frame.width, first.frame.height))
        results = []
        for target in _tracked(targets):
            with self._timed("target"):
                second = self.pipeline.extract(target)
            with self._timed("match"):
                matches = matcher.match(first, second, points)
            kept = _filtered(matches, mutual, min_similarity)
            pictures = _picture(source, first), _picture(target, second)
            results.append(Result(*pictures, kept, dict(self.timings_ms)))
        return results

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.timings_ms[step] = (time.perf_counter() - started) * 1000


def _picture(path: str, features: FeatureMap) -> Picture:
    return Picture(path, features.frame.width, features.frame.height)


def _build_if_missing(bundle: str) -> None:
    try:
        find(bundle)
    except InputError:
        command = [sys.executable, "-m", "geoaware.export", *build_command(bundle).split()[1:]]
        if subprocess.run(command, stdout=sys.stderr).returncode:
            raise GeoAwareError(f"bundle {bundle!r} could not be built; see above") from None


def _filtered(matches: Matches, mutual: bool, min_similarity: float | None) -> Matches:
    keep = np.ones(len(matches), np.bool_)
    if mutual:
        keep &= matches.mutual
    if min_similarity is not None:
        keep &= matches.similarity >= min_similarity
    return matches.where(keep)


def _tracked(targets: Sequence[str]) -> Iterator[str]:
    if len(targets) < 4:
        yield from targets
        return
    from rich.progress import track

    yield from track(targets, "matching", console=progress(), transient=True)
