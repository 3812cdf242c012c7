"""What turns images into descriptors: a bundle in our runtime, and the rivals beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TypeVar

import numpy as np

from geoaware.examples import PHOTOGRAPHS
from geoaware.runtime import Bundle, GeoAwareError, Pipeline
from geoaware.runtime.engines import HOST, open_engine
from geoaware.runtime.errors import first_line
from geoaware.runtime.images import load, to_frame

from .caches import beyond_caches
from .rivals.networks import Float32, Network, Opener, only_model, openers
from .rows import OURS
from .settings import Watch
from .timing import Call

Input = TypeVar("Input")
Photographs = Sequence[Path]

# The least cosine of a cell's descriptor with ours, by precision, in a rival that computes the
# same. `lite` ships with weights stored as fp16; bf16, which stands beside fp16, rounds
# eight times as coarsely; engines round int8 each in its own way.
LEAST_COSINE = {"fp32": 0.999, "fp16": 0.97, "int8": 0.97}


@dataclass(frozen=True)
class Contenders:
    """A bundle in our runtime, and what computes the same from the same frames.

    networks: ours first; none for a bundle of several networks in a chain.
    differences: the largest absolute one between a rival's descriptors and ours, on photographs.
    missing: why a contender has no network here.
    """

    pipeline: Pipeline
    networks: dict[str, Network] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def from_files(self, batch: int) -> dict[str, Call]:
        """Each contender's call that makes descriptors of the next so many image files.

        All read and frame them by the same code; ours is `Pipeline.extract_batch`.
        """
        inputs = [
            [PHOTOGRAPHS[(first + each) % len(PHOTOGRAPHS)] for each in range(batch)]
            for first in range(len(PHOTOGRAPHS))
        ]
        rivals = {
            name: partial(_from_files, network, self.pipeline.bundle)
            for name, network in self.networks.items()
        }
        return _in_turn(rivals | {OURS: partial(_extracted, self.pipeline)}, inputs)

    def from_tensors(self, batch: int) -> dict[str, Call]:
        """Each contender's call that makes descriptors of the next frames (batch, 3, side, side).

        They are those of the photographs, and shifted copies of them, more than caches hold.
        """
        if not self.networks:
            return {}
        frames = _frames(self.pipeline.bundle, PHOTOGRAPHS)
        batches = frames[np.arange(batch) % len(frames)]
        inputs = [
            np.roll(batches, (shift, shift), axis=(0, -1))
            for shift in range(beyond_caches(batches.nbytes))
        ]
        return _in_turn(self.networks, inputs)


def contenders(pipeline: Pipeline, threads: int, watch: Watch) -> Contenders:
    """Open every contender, each with so many CPU threads, and compare what they make.

    A rival that fails, or whose descriptors are not ours, is missing.
    """
    found = Contenders(pipeline)
    manifest = pipeline.bundle.manifest
    rivals = openers(manifest.precision, on_gpu=pipeline.device not in HOST)
    expected: list[Float32] = []
    everybody: dict[str, Opener] = {OURS: partial(_ours, pipeline), **rivals}
    for name, opener in everybody.items():
        watch.note(f"{manifest.name}: opening {name}")
        try:
            network = opener(pipeline.bundle, threads)
            made = [network(frame[None]).copy() for frame in _frames(pipeline.bundle, PHOTOGRAPHS)]
            if expected:
                found.differences[name] = difference(made, expected, manifest.precision)
        except GeoAwareError as error:
            found.missing[name] = str(error)
        except Exception as error:  # other people's libraries fail in their own ways
            if name == OURS:
                raise
            found.missing[name] = f"fails: {first_line(error)}"
        else:
            expected = expected or made
            found.networks[name] = network
    return found


def difference(made: Sequence[Float32], expected: Sequence[Float32], precision: str) -> float:
    """The largest absolute difference of a rival's descriptors (…, channels) from ours.

    Raises GeoAwareError where a cell points elsewhere.
    """
    pairs = list(zip(made, expected, strict=True))
    cosine = min(float(np.einsum("...c,...c->...", *pair).min()) for pair in pairs)
    if not cosine >= LEAST_COSINE[precision]:
        raise GeoAwareError(f"computes something else: a cell's cosine with ours is {cosine:.4f}")
    return max(float(abs(a - b).max()) for a, b in pairs)


def _ours(pipeline: Pipeline, bundle: Bundle, threads: int) -> Network:
    model, choice = only_model(bundle), pipeline.choice
    engine = open_engine(bundle.path, model, choice.device, threads, choice.record)
    return lambda frames: engine.run({"image": frames})["descriptors"]


def _extracted(pipeline: Pipeline, files: Photographs) -> list[Float32]:
    """Descriptors on the host, on a GPU too."""
    return [features.descriptors for features in pipeline.extract_batch(files)]


def _from_files(network: Network, bundle: Bundle, files: Photographs) -> Float32:
    return network(_frames(bundle, files))


def _frames(bundle: Bundle, files: Photographs) -> Float32:
    """The images in the frame of a bundle that has one network, (files, 3, side, side)."""
    side = int(only_model(bundle).inputs[0].shape[-1])
    spec = bundle.manifest.recipe.frame
    return np.stack([to_frame(load(file), spec, side) for file in files])


def _in_turn(
    functions: Mapping[str, Callable[[Input], object]], inputs: Sequence[Input]
) -> dict[str, Call]:
    """Calls on one input after the other; each function begins elsewhere.

    So no function finds in the caches what another one has just read.
    """
    calls: dict[str, Call] = {}
    for index, (name, function) in enumerate(functions.items()):
        start = index * len(inputs) // len(functions)
        rotation = cycle([*inputs[start:], *inputs[:start]])
        calls[name] = _call(function, rotation)
    return calls


def _call(function: Callable[[Input], object], rotation: Iterator[Input]) -> Call:
    return lambda: function(next(rotation))
