"""Engines must prove themselves: against the fp32 PyTorch model, on photographs, on the GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...examples import PHOTOGRAPHS
from ...kernels.cuda.errors import CudaError, CudaMemoryError
from ...kernels.cuda.gpu import Gpu
from ...runtime.engines.on_host import OnHost
from ...runtime.engines.tensorrt import TensorRTEngine
from ...runtime.engines.tensorrt_plan import LoadedPlan
from ...runtime.errors import GeoAwareError
from ...runtime.manifest import EngineRecord, Manifest, Model, Parity
from ...runtime.manifest import Tensor as TensorRecord
from ..divergence import Marked, RunMarked, first_engine_divergence, marked
from ..graphs import Graph
from ..verify import TOLERANCES, Float32, ParityError, compare, frames, out_of, photographs, truths
from .builder import PlanBuilder
from .layers import check_layers, count_layers

Report = Callable[[str], None]

# The first run of a set of buffers warms up, the second is recorded as a CUDA graph, later ones
# replay it.
RUNS = 3


def proved(
    record: EngineRecord,
    manifest: Manifest,
    reference: Sequence[Graph],
    folder: Path,
    gpu: Gpu,
    report: Report,
) -> EngineRecord:
    """An engine's record, after what it computes in and what it computes were found right.

    Raises ParityError, with the figures and the first layer that diverges, where they are not,
    GeoAwareError where the engine does not run here.
    """
    try:
        return _proved(record, manifest, reference, folder, gpu, report)
    except CudaMemoryError as error:
        raise GeoAwareError(
            f"proving the {record.kind} engine: {error}; end other programs on the GPU, or build "
            "it for smaller batches: --batch"
        ) from None
    except CudaError as error:
        raise GeoAwareError(f"proving the {record.kind} engine: {error}") from None


def _proved(
    record: EngineRecord,
    manifest: Manifest,
    reference: Sequence[Graph],
    folder: Path,
    gpu: Gpu,
    report: Report,
) -> EngineRecord:
    report(f"inspecting the engine on {gpu.name}")
    engines = [TensorRTEngine.of(folder, model, record, gpu) for model in manifest.models]
    counts = [count_layers(engine.layers(), record.precision) for engine in engines]
    for engine, layers in zip(engines, counts, strict=True):
        check_layers(engine.plan.path.name, layers, record.precision)
    report(f"verifying the engine against PyTorch on {len(photographs(reference))} photographs")
    parity = _measured(engines, manifest, reference, gpu)
    tolerance = TOLERANCES[manifest.precision, manifest.models[0].stored_as]
    if problem := out_of(tolerance, parity):
        report("looking for the layer that diverges")
        try:
            layer = _first_divergence(record, manifest, reference, folder, gpu, report)
        except (GeoAwareError, CudaError) as error:
            layer = f"not found ({error})"
        raise ParityError(
            f"the {record.kind} engine is not the model it should be: {problem}; "
            f"first diverging layer: {layer}"
        )
    plans = tuple(
        plan.model_copy(update={"layers": layers})
        for plan, layers in zip(record.plans, counts, strict=True)
    )
    return record.model_copy(update={"plans": plans, "parity": parity})


def _measured(
    engines: Sequence[TensorRTEngine], manifest: Manifest, reference: Sequence[Graph], gpu: Gpu
) -> Parity:
    """The worst figures of all batch sizes: each is compiled on its own.

    The photographs are repeated until every item of a batch was one, in every run.
    """
    truth = truths(manifest.recipe, reference)
    images = [frames(manifest.recipe, each) for each in photographs(reference)]
    stacks = {side: np.concatenate([each[side].numpy() for each in images]) for side in images[0]}
    found = []
    for batch in engines[0].batches:
        chain = [(engine.model, OnHost(engine, gpu, (batch,))) for engine in engines]
        rounds = -(-RUNS * batch // len(truth))
        made = _repeated(chain, stacks, batch, rounds * len(truth))
        found += [compare(list(islice(made, len(truth))), truth) for _ in range(rounds)]
    return _worst(found)


def _repeated(
    chain: Sequence[tuple[Model, OnHost]],
    images: Mapping[int, NDArray[Any]],
    batch: int,
    count: int,
) -> Iterator[Float32]:
    """Descriptors (rows, cols, channels) of `count` images, a batch after the other.

    images: those to repeat, by side (images, 3, side, side).
    """
    for start in range(0, count, batch):
        chosen = np.arange(start, min(start + batch, count))
        yield from _descriptors(
            chain, {side: stack[chosen % len(stack)] for side, stack in images.items()}
        )


def _descriptors(
    chain: Sequence[tuple[Model, OnHost]], images: Mapping[int, NDArray[Any]]
) -> Float32:
    """Descriptors (images, rows, cols, channels) of frames by side (images, 3, side, side)."""
    tensors: dict[str, NDArray[Any]] = {}
    for model, engine in chain:
        for tensor in model.inputs:
            if tensor.name == "image":
                tensors["image"] = images[int(tensor.shape[-1])]
        tensors |= engine.run({tensor.name: tensors[tensor.name] for tensor in model.inputs})
    return tensors["descriptors"].astype(np.float32)


def _worst(figures: Sequence[Parity]) -> Parity:
    lowest = ("cosine_min", "cosine_mean", "match_agreement", "near_agreement")
    values = {name: [getattr(each, name) for each in figures] for name in Parity.model_fields}
    # NaN, which is worst of all, is kept by numpy's extremes.
    return Parity.model_validate(
        {name: (np.min if name in lowest else np.max)(each) for name, each in values.items()}
    )


def _first_divergence(
    record: EngineRecord,
    manifest: Manifest,
    reference: Sequence[Graph],
    folder: Path,
    gpu: Gpu,
    report: Report,
) -> str:
    files = [folder / model.files[0].name for model in manifest.models]
    models = dict(zip(files, manifest.models, strict=True))
    images = frames(manifest.recipe, PHOTOGRAPHS[0])
    run = _marked_runner(record, models, gpu, report)
    return first_engine_divergence(reference, files, images, record.precision, run)


def _marked_runner(
    record: EngineRecord, models: Mapping[Path, Model], gpu: Gpu, report: Report
) -> RunMarked:
    """Builds and runs engines like a record's, of one image, with more outputs."""
    builder = PlanBuilder(
        record.kind, (1,), record.options, record.compute_capability, record.gpu, report
    )

    def run(
        file: Path, marks: Sequence[Marked], feed: Mapping[str, Tensor]
    ) -> dict[str, NDArray[Any]]:
        plan, _ = builder.build(marked(file, [mark.tensor for mark in marks]), file)
        known = {tensor.name for tensor in models[file].outputs}
        new = {mark.tensor: mark.value for mark in marks if mark.tensor not in known}
        more = [
            TensorRecord(name=name, shape=("batch", *value.shape[1:]), dtype=str(value.dtype))
            for name, value in new.items()
        ]
        model = models[file].model_copy(update={"outputs": (*models[file].outputs, *more)})
        loaded = LoadedPlan(
            file.with_suffix(".marked"),
            model,
            record.kind,
            (1,),
            gpu,
            brings_code=record.options.version_compatible,
            content=plan,
        )
        inputs = {name: tensor.numpy() for name, tensor in feed.items()}
        return OnHost(TensorRTEngine(loaded), gpu).run(inputs)

    return run
