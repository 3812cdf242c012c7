"""Engines of a bundle: built for this GPU or ahead of time, and added to its manifest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ...kernels.cuda.gpu import Gpu
from ...runtime.bundle import Bundle, read_manifest, sha256_of
from ...runtime.engines import tensorrt_module
from ...runtime.engines.gpu import architecture, current
from ...runtime.errors import GeoAwareError
from ...runtime.manifest import EngineRecord, File, Manifest, Model, Plan
from ..graphs import Graph
from ..publish import carry_over
from ..request import EngineRequest
from .builder import PlanBuilder, check_target
from .layers import check_network
from .proof import proved

Report = Callable[[str], None]


def gpu_for(request: EngineRequest) -> Gpu | None:
    """The GPU that engines are to be built on; None for those built ahead of time.

    Raises GeoAwareError where TensorRT is not installed or no GPU is there to build on, InputError
    where TensorRT-RTX does not build for that GPU.
    """
    module = tensorrt_module.load(request.kind)
    if request.architecture:
        check_target(module, request.architecture)
        return None
    try:
        gpu = current()
    except GeoAwareError as error:
        ahead = "; without one, build ahead of time: --for sm_89, say"
        hint = ahead if request.kind == "tensorrt-rtx" else ""
        raise GeoAwareError(f"{request.kind} builds on the GPU: {error}{hint}") from None
    if request.kind == "tensorrt-rtx":
        check_target(module, architecture(gpu), gpu.name)
    return gpu


def is_built(request: EngineRequest, bundle: Bundle, gpu: Gpu | None) -> bool:
    """Whether a bundle has these engines, intact, of the version that is installed."""
    version = tensorrt_module.load(request.kind).__version__
    for record in bundle.manifest.engines:
        if (
            record.target == _target(request, gpu)
            and (record.version, record.batches) == (version, request.batches)
            and record.options == request.options
            and (record.parity or gpu is None)
        ):
            return _is_intact(record, bundle)
    return False


def with_engines(
    manifest: Manifest,
    request: EngineRequest,
    gpu: Gpu | None,
    reference: Sequence[Graph],
    folder: Path,
    report: Report,
) -> Manifest:
    """Build the engines of the models in a folder, prove them, and enter them in the manifest.

    They replace an engine for the same GPU. reference: the fp32 graphs to prove them against,
    where there is a GPU.

    Raises ParityError for engines that do not compute what PyTorch computes, or not in the
    precision asked for, GeoAwareError where they cannot be built.
    """
    target = _target(request, gpu)
    name = gpu.name if gpu else None
    builder = PlanBuilder(request.kind, request.batches, request.options, target[1], name, report)
    record = EngineRecord(
        kind=request.kind,
        version=builder.version,
        compute_capability=target[1],
        gpu=name,
        precision=manifest.precision,
        batches=request.batches,
        options=request.options,
        plans=tuple(_plan(model, builder, folder, report) for model in manifest.models),
        parity=None,
    )
    if gpu:
        record = proved(record, manifest, reference, folder, gpu, report)
    others = [each for each in manifest.engines if each.target != target]
    return manifest.model_copy(update={"engines": (*others, record)})


def carry_over_bundle(bundle: Bundle, folder: Path) -> None:
    """Put the models of a bundle into a folder, and those of its engines that are intact."""
    for file in bundle.manifest.files:
        carry_over(bundle.file(file.name), folder)
    for record in bundle.manifest.engines:
        if _is_intact(record, bundle):
            _carry_over_plans(record, bundle, folder)


def carry_over_engines(there: Path, manifest: Manifest, folder: Path) -> Manifest:
    """Enter the engines of the bundle that is there, and of the very models of a new manifest.

    Their files are put into the folder of the new bundle, where they are intact.
    """
    try:
        engines = read_manifest(there).engines
    except GeoAwareError:
        return manifest
    models = [tuple(file.sha256 for file in model.files) for model in manifest.models]
    bundle, kept = Bundle(there, manifest), []
    for record in engines:
        if [plan.model for plan in record.plans] == models and _is_intact(record, bundle):
            _carry_over_plans(record, bundle, folder)
            kept.append(record)
    return manifest.model_copy(update={"engines": tuple(kept)})


def _is_intact(record: EngineRecord, bundle: Bundle) -> bool:
    try:
        bundle.verify_engine(record)
    except GeoAwareError:
        return False
    return True


def _carry_over_plans(record: EngineRecord, bundle: Bundle, folder: Path) -> None:
    for plan in record.plans:
        carry_over(bundle.file(plan.file.name), folder)


def _target(request: EngineRequest, gpu: Gpu | None) -> tuple[str, str, str | None]:
    if gpu:
        return request.kind, architecture(gpu), gpu.name
    assert request.architecture
    return request.kind, request.architecture, None


def _plan(model: Model, builder: PlanBuilder, folder: Path, report: Report) -> Plan:
    graph = folder / model.files[0].name
    report(f"building an engine of {graph.name} with {builder.kind} {builder.version}")
    content, network = builder.build(graph.read_bytes(), graph)
    check_network(graph.name, network, model.precision)
    path = folder / _file_name(model, builder)
    path.unlink(missing_ok=True)  # it may be a link to the published one
    path.write_bytes(content)
    return Plan(
        model=tuple(file.sha256 for file in model.files),
        file=File(name=path.name, sha256=sha256_of(path), bytes=len(content)),
        network=network,
        layers=None,
    )


def _file_name(model: Model, builder: PlanBuilder) -> str:
    """What a person wants to see of an engine's key, and a digest of all of it."""
    key = [
        [file.sha256 for file in model.files],
        [builder.kind, builder.version, builder.architecture, builder.gpu],
        [*builder.batches],
        builder.options.model_dump(),
    ]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]
    parts = [Path(model.files[0].name).stem, f"{builder.kind}-{builder.version}"]
    parts += [f"sm_{builder.architecture.replace('.', '')}", builder.gpu, model.precision, digest]
    return ".".join(re.sub(r"[^\w.-]+", "-", part) for part in parts if part) + ".engine"
