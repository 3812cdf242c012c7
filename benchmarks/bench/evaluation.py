"""Evaluation: images into the feature store, and PCK of pairs from it.

The dataset is made on the spot (`made_dataset`), so that this runs anywhere. Beside ours stands
what people write: a loop over images that saves a tensor for each, and a loop over pairs that loads
two of them (`rivals.evaluation_pytorch`). That one gets the values of our store, in half precision
too, and looks for the most similar cell, as ours is asked to: PCK must be the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from geoaware.runtime import Bundle, GeoAwareError, Pipeline
from geoaware.runtime.datasets import Pair, Problem, images, read
from geoaware.runtime.doctor import require
from geoaware.runtime.evaluation.protocols import PROTOCOLS
from geoaware.runtime.evaluation.request import Inputs, Method, Scoring
from geoaware.runtime.evaluation.results import key
from geoaware.runtime.evaluation.run import evaluate
from geoaware.runtime.evaluation.selection import Selection
from geoaware.runtime.extraction import extract_all
from geoaware.runtime.matcher import Matcher
from geoaware.runtime.recipe import Matching
from geoaware.runtime.store import FeatureStore, Key

from . import made_dataset as made
from .match import Features, difference_of, features_of, is_asked
from .rivals import networks_pytorch
from .rows import OURS, Row, Spread
from .settings import Settings, Watch

IMAGES = 32
PAIRS = 200
TURNS = 5
PROTOCOL = PROTOCOLS["image"]
ALPHA = 0.1
SAME = 0.1  # percentage points, within which PCK must agree
EAGER = "PyTorch eager"
LOOPS = {"PyTorch loop, all cells": True, "PyTorch loop, keypoints": False}

Call = Callable[[], object]


def rows(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Measure the shipped bundle, where it is among the recipes and precisions asked for."""
    if is_asked(settings, watch, "evaluation"):
        yield from measured(settings, watch, IMAGES, PAIRS, TURNS)


def measured(
    settings: Settings, watch: Watch, images: int, pairs: int, turns: int
) -> Iterator[Row]:
    """Images/s into the store, bytes of an image there, pairs/s from it; PyTorch beside it."""
    with TemporaryDirectory() as folder:
        made.make(Path(folder), images)
        task = Task.of(Path(folder), settings, pairs)
        watch.note(f"evaluation: {len(task.images)} images into the store, {turns} times")
        yield from extraction(task, turns)
        watch.note(f"evaluation: {len(task.pairs)} pairs from the store, {turns} times")
        yield from scoring(task, turns)


@dataclass(frozen=True)
class Task:
    """The shipped bundle, loaded, and a dataset to work through with it.

    workers: images or pairs at a time; the threads are shared out among them.
    """

    folder: Path
    settings: Settings
    selection: Selection
    pairs: list[Pair]
    workers: int
    pipeline: Pipeline

    @classmethod
    def of(cls, folder: Path, settings: Settings, pairs: int) -> Task:
        """A task of so many pairs of the dataset in a folder."""
        selection = Selection(sample=pairs)
        chosen = selection.of(read(made.NAME, folder, made.SPLIT, made.SETTING).pairs)
        workers = min(4, settings.threads)
        pipeline = Pipeline(Bundle.open(), settings.device, settings.threads // workers)
        return cls(folder, settings, selection, chosen, workers, pipeline)

    @property
    def images(self) -> list[Path]:
        """The images of the pairs."""
        return images(self.pairs)

    @property
    def store(self) -> FeatureStore:
        """The store that pairs are read from."""
        return FeatureStore(self.folder / "store", self.pipeline.bundle.manifest.hash())

    def row(self, what: str, contender: str, unit: str, **found: object) -> Row:
        """A row of this suite."""
        case = {"recipe": self.pipeline.bundle.manifest.name, "what": what}
        content = {"suite": "evaluation", "case": case, "contender": contender, "unit": unit}
        return Row.model_validate(content | found)


def extraction(task: Task, turns: int) -> Iterator[Row]:
    """Images/s into files, and bytes of a file; both contenders have run one image before."""
    numbers = count()
    task.pipeline.extract(task.images[0])
    calls: dict[str, Call] = {OURS: lambda: _store_all(task, f"turn{next(numbers)}")}
    differences: dict[str, float] = {}
    try:
        network = networks_pytorch.eager(task.pipeline.bundle, task.settings.threads)
        features = features_of(task.pipeline.bundle, network)
        differences[EAGER] = difference_of(task.pipeline, features, task.images[0])
    except GeoAwareError as error:
        yield task.row("extraction", EAGER, "images/s", missing=str(error))
    else:
        calls[EAGER] = partial(_save_all, task, features)
    for name, seconds in in_turns(calls, turns).items():
        rates = Spread.of([len(task.images) / each for each in seconds])
        far = differences.get(name)
        yield task.row("extraction", name, "images/s", spread=rates, difference=far)
    for name, pattern in {OURS: "turn0/**/*.safetensors", EAGER: "*.float32.pt"}.items():
        if sizes := [path.stat().st_size for path in task.folder.glob(pattern)]:
            yield task.row("an image on disk", name, "bytes", spread=Spread.of(sizes))


def scoring(task: Task, turns: int) -> Iterator[Row]:
    """Pairs/s from stored features to PCK; ours reads annotations and scores them as well."""
    _store_all(task, task.store.root.name)
    expected = _pck(task)
    calls: dict[str, Call] = {OURS: partial(_pck, task)}
    differences: dict[str, float] = {}
    try:
        loops = _loops(task)
    except GeoAwareError as error:
        loops = {}
        yield from (task.row("pairs", name, "pairs/s", missing=str(error)) for name in LOOPS)
    for name, loop in loops.items():
        differences[name] = abs(loop() - expected)
        if differences[name] > SAME:
            why = f"computes something else: PCK differs by {differences[name]:.2f} points"
            yield task.row("pairs", name, "pairs/s", missing=why)
        else:
            calls[name] = loop
    for name, seconds in in_turns(calls, turns).items():
        rates = Spread.of([len(task.pairs) / each for each in seconds])
        far = differences.get(name)
        yield task.row("pairs", name, "pairs/s", spread=rates, difference=far)


def in_turns(calls: Mapping[str, Call], turns: int) -> dict[str, list[float]]:
    """Seconds of calls that take long; they take turns (A B C A B C …)."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def _store_all(task: Task, root: str) -> None:
    """Every image into a store in a folder of the task's."""
    store = FeatureStore(task.folder / root, task.store.bundle)
    extract_all(task.images, store, lambda: task.pipeline, workers=task.workers)


def _save_all(task: Task, features: Features) -> None:
    """What people write: one image after the other, a tensor saved for each."""
    import torch

    for path in task.images:
        torch.save(torch.from_numpy(features(path).descriptors), path.with_suffix(".float32.pt"))


def _pck(task: Task) -> float:
    """Our evaluation from the store, from annotations to PCK in percent."""
    inputs = Inputs(
        dataset=made.NAME,
        root=task.folder,
        split=made.SPLIT,
        setting=made.SETTING,
        selection=task.selection,
        bundles=(task.pipeline.bundle,),
        store=task.store.root,
        stored_as=task.store.stored_as,
        device=task.settings.device,
        workers=task.workers,
    )
    method = Method(Matcher(Matching(method="argmax")))
    results, _ = evaluate(inputs, method, Scoring((PROTOCOL,), (ALPHA,)), _Silent())
    return results.protocols[PROTOCOL.name].overall.per_image[key(ALPHA)]


def _loops(task: Task) -> dict[str, Callable[[], float]]:
    """The loops over pairs, with our stored values in files of their own.

    Raises GeoAwareError where PyTorch is not installed.
    """
    require("export", "PyTorch as a rival")
    import torch

    from .rivals.evaluation_pytorch import pck

    torch.set_num_threads(task.settings.threads)
    files = {}
    for path in task.images:
        files[path] = path.with_suffix(".float16.pt")
        descriptors = task.store.load(Key.of(path)).descriptors
        torch.save(torch.from_numpy(descriptors).half(), files[path])
    return {
        name: partial(pck, task.pairs, files, ALPHA, all_cells=all_cells)
        for name, all_cells in LOOPS.items()
    }


class _Silent:
    """Nobody is told how an evaluation goes on while it is measured."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        yield lambda count: None

    def note(self, line: str) -> None:
        pass

    def problems(self, found: Sequence[Problem]) -> None:
        raise GeoAwareError(f"the made dataset has problems: {found[0].where}: {found[0].what}")
