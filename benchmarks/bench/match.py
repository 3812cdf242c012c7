"""The whole match: from photographs in files to points, cold, warm, and with many targets.

Of the bundle that ships, in fp32. Cold and with many targets it is a program, from its start to
its end, beside `rivals.minimal_match`; both take all cores, as they do by themselves. Warm it is a
call, of two photographs that are new to it, beside the same network in other runtimes; these get
our images and our matching, so that nothing but the network differs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from geoaware.examples import PHOTOGRAPHS
from geoaware.export.registry import known
from geoaware.export.weights import locate
from geoaware.runtime import Bundle, FeatureMap, Frame, GeoAwareError, Pipeline
from geoaware.runtime.doctor import install_command, require
from geoaware.runtime.engines import HOST
from geoaware.runtime.images import load, to_frame

from . import programs
from .contenders import difference
from .pictures import crops
from .rivals.networks import Network, openers
from .rows import OURS, Row, Spread, Suite
from .settings import Settings, Watch
from .timing import interleaved

RIVAL = "minimal PyTorch script"
PAIRS = 100
TARGETS = 100
COLD_RUNS = 10
MANY_RUNS = 2  # of a program that takes seconds
COMPARED = 6  # pictures, of which both programs must find the same; it fills the disk's cache, too
NEAR = 1.0  # pixels
SAME = 0.95  # of the points, which the programs must find that near to each other

Features = Callable[[Path], FeatureMap]
Match = Callable[[Path, Path], object]


def rows(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Measure the shipped bundle, where it is among the recipes and precisions asked for."""
    if is_asked(settings, watch, "match"):
        with TemporaryDirectory() as folder:
            pictures = [crop.path for crop in crops(Path(folder), max(PAIRS, TARGETS + 1))]
            yield from cold(settings, watch, PHOTOGRAPHS[:2], COLD_RUNS)
            yield from warm(settings, watch, pictures, PAIRS)
            yield from cold(settings, watch, pictures[: TARGETS + 1], MANY_RUNS)


def is_asked(settings: Settings, watch: Watch, suite: Suite) -> bool:
    """Whether the shipped bundle shall be measured; says so where it shall not."""
    manifest = Bundle.open().manifest
    if manifest.name in settings.recipes and manifest.precision in settings.precisions:
        return True
    watch.note(f"{suite}: nothing to do; it measures {manifest.name} in {manifest.precision} alone")
    return False


def cold(settings: Settings, watch: Watch, pictures: Sequence[Path], runs: int) -> Iterator[Row]:
    """The programs' wall time and peak memory, the first picture's points in all others.

    Raises GeoAwareError where ours fails.
    """
    targets = len(pictures) - 1
    what = "cold" if targets == 1 else f"one against {targets}"
    watch.note(f"{what}: programs, {runs} runs each")
    words = [str(path) for path in pictures]
    georun = [programs.GEORUN, "match", "--device", settings.device]
    ours = Answer.of([*georun, "--json", *words[:COMPARED]])
    commands, missing, difference = {OURS: [*georun, *words]}, None, None
    try:
        script = minimal_script()
        difference = ours.difference(Answer.of([*script, *words[:COMPARED]]))
        commands[RIVAL] = [*script, *words]
    except GeoAwareError as error:
        missing = str(error)
    for name, taken in programs.in_turns(commands, runs).items():
        rates = {"pairs/s": [targets / each for each in taken.seconds]} if targets > 1 else {}
        values = {"ms": [1000 * each for each in taken.seconds], **rates, "MB": taken.peaks_mb}
        for unit, each in values.items():
            far = None if name == OURS else difference
            yield _row(what, name, unit, spread=Spread.of(each), difference=far)
    if missing:
        yield _row(what, RIVAL, "ms", missing=missing)


def minimal_script() -> list[str]:
    """The command of the rival, but for the photographs.

    Raises GeoAwareError where PyTorch or the weights are not at hand.
    """
    require("embedded", RIVAL, "export,embedded")
    if find_spec("torch") is None:
        raise GeoAwareError(f"{RIVAL} needs torch: {install_command('export,embedded')}")
    [backbone] = Bundle.open().manifest.recipe.backbones
    weights = locate(backbone.name, known(backbone.name), download=False).files["model"]
    script = Path(__file__).parent / "rivals" / "minimal_match.py"
    return [sys.executable, str(script), str(weights)]


@dataclass(frozen=True)
class Answer:
    """What a program found, in all targets: points (N, 2) in their pixels, similarities (N,)."""

    points: NDArray[np.float64]
    similarity: NDArray[np.float64]

    @classmethod
    def of(cls, command: list[str]) -> Answer:
        """What a program prints as JSON. Raises GeoAwareError where it fails."""
        found = json.loads(programs.answer(command))
        lists = [found] if isinstance(found, dict) else found
        matches = [match for each in lists for match in each["matches"]]
        return cls(
            *(np.array([each[name] for each in matches]) for name in ("target", "similarity"))
        )

    def difference(self, other: Answer) -> float:
        """The largest absolute difference of the similarities.

        Points may lie apart where two cells are equally similar; raises GeoAwareError where more
        do.
        """
        near = np.hypot(*(self.points - other.points).T) < NEAR
        if near.mean() < SAME:
            raise GeoAwareError(
                f"finds other points: only {near.mean():.0%} lie within {NEAR:g} px"
            )
        return float(abs(self.similarity - other.similarity).max())


def warm(settings: Settings, watch: Watch, pictures: Sequence[Path], pairs: int) -> Iterator[Row]:
    """So many calls of each contender, each with the next two pictures."""
    bundle = Bundle.open()
    pipeline = Pipeline(bundle, settings.device, settings.threads)
    contenders: dict[str, Match] = {OURS: pipeline.match}
    differences: dict[str, float] = {}
    on_gpu = pipeline.device not in HOST
    for name, opened in openers(bundle.manifest.precision, on_gpu).items():
        if "compiled" in name:  # its compiler takes longer than all the rest here
            continue
        try:
            features = features_of(bundle, opened(bundle, settings.threads))
            differences[name] = difference_of(pipeline, features, pictures[0])
        except GeoAwareError as error:
            yield _row("warm", name, "ms", missing=str(error))
        else:
            contenders[name] = _matching(pipeline, features)
    watch.note(f"warm: {pairs} pairs each by {', '.join(contenders)}")
    calls = {name: [_next_pair(match, pictures)] for name, match in contenders.items()}
    pace = replace(settings.pace, repeats=pairs, least=pairs, short=0)
    for name, spread in interleaved(calls, pace).items():
        yield _row("warm", name, "ms", spread=spread, difference=differences.get(name))


def _next_pair(match: Match, pictures: Sequence[Path]) -> Callable[[], object]:
    """A call that matches the next two pictures each time."""
    remaining = cycle(pictures)
    return lambda: match(next(remaining), next(remaining))


def _matching(pipeline: Pipeline, features: Features) -> Match:
    """The pipeline's match, of features from elsewhere."""
    return lambda a, b: pipeline.match(features(a), features(b))


def features_of(bundle: Bundle, network: Network) -> Features:
    """What extracts with another network, from the same frames as ours."""
    spec, bundle_hash = bundle.manifest.recipe.frame, bundle.manifest.hash()

    def features(path: Path) -> FeatureMap:
        image = load(path)
        descriptors = network(to_frame(image, spec, spec.side)[None])[0]
        frame = Frame.fit(spec.mode, spec.side, *image.size)
        return FeatureMap(np.array(descriptors), frame, bundle_hash)

    return features


def difference_of(pipeline: Pipeline, features: Features, path: Path) -> float:
    """How far a rival's descriptors of a picture lie from ours, as `contenders.difference`."""
    theirs, ours = features(path).descriptors, pipeline.extract(path).descriptors
    return difference([theirs], [ours], pipeline.bundle.manifest.precision)


def _row(
    what: str,
    contender: str,
    unit: str,
    *,
    spread: Spread | None = None,
    difference: float | None = None,
    missing: str | None = None,
) -> Row:
    manifest = Bundle.open().manifest
    return Row(
        suite="match",
        case={"recipe": manifest.name, "precision": manifest.precision, "what": what},
        contender=contender,
        unit=unit,
        spread=spread,
        difference=difference,
        missing=missing,
    )
