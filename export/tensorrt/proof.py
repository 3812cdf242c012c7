"""Engines must prove themselves: against the fp32 PyTorch model, on photographs, on the GPU."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...examples import PHOTOGRAPHS
from ...kernels.cuda.gpu import Gpu
from ...runtime.engines.on_host import OnHost
from ...runtime.engines.tensorrt import LoadedPlan, TensorRTEngine
from ...runtime.manifest import EngineRecord, Manifest, Model, Parity
from ...runtime.manifest import Tensor as TensorRecord
from ..divergence import Marked, RunMarked, first_engine_divergence, marked
from ..graphs import Graph
from ..verify import TOLERANCES, Float32, ParityError, compare, frames, out_of, photographs, truths
from .builder import PlanBuilder
from .layers import check_layers, count_layers

Report = Callable[[str], None]


def proved(
    record: EngineRecord,
    manifest: Manifest,
    reference: Sequence[Graph],
    folder: Path,
    gpu: Gpu,
    report: Report,
) -> EngineRecord:
    """An engine's record, after what it computes in and what it computes were found right.

    Raises ParityError, with the figures and the first layer that diverges, where they are not.
    """
    report(f"inspecting the engine on {gpu.name}")
    engines = [TensorRTEngine.of(folder, model, record, gpu) for model in manifest.models]
    counts = [count_layers(engine.layers()) for engine in engines]
    for engine, layers in zip(engines, counts, strict=True):
        check_layers(engine.plan.path.name, layers, record.precision)
    report(f"verifying the engine against PyTorch on {len(photographs(reference))} photographs")
    parity = _measured(engines, manifest, reference, gpu)
    tolerance = TOLERANCES[manifest.precision, manifest.models[0].stored_as]
    if problem := out_of(tolerance, parity):
        report("looking for the layer that diverges")
        layer = _first_divergence(record, manifest, reference, folder, gpu)
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
    """The worst figures of all batch sizes: each is compiled on its own."""
    truth = truths(manifest.recipe, reference)
    images = [frames(manifest.recipe, each) for each in photographs(reference)]
    stacks = {side: np.concatenate([each[side].numpy() for each in images]) for side in images[0]}
    found = []
    for batch in engines[0].batches:
        chain = [(engine.model, OnHost(engine, gpu, (batch,))) for engine in engines]
        found.append(compare(list(_descriptors(chain, stacks)), truth))
    return _worst(found)


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
) -> str:
    files = [folder / model.files[0].name for model in manifest.models]
    models = dict(zip(files, manifest.models, strict=True))
    images = frames(manifest.recipe, PHOTOGRAPHS[0])
    run = _marked_runner(record, models, gpu)
    return first_engine_divergence(reference, files, images, record.precision, run)


def _marked_runner(record: EngineRecord, models: Mapping[Path, Model], gpu: Gpu) -> RunMarked:
    """Builds and runs engines like a record's, of one image, with more outputs."""
    builder = PlanBuilder(record.kind, (1,), record.options, record.compute_capability, record.gpu)

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
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "marked.engine"
            path.write_bytes(plan)
            brings_code = record.options.version_compatible
            loaded = LoadedPlan(path, model, record.kind, (1,), gpu, brings_code)
        inputs = {name: tensor.numpy() for name, tensor in feed.items()}
        return OnHost(TensorRTEngine(loaded), gpu).run(inputs)

    return run
