"""From a recipe to a published bundle: resolve, load, export, verify, publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import torch

from ..runtime.bundle import Bundle
from ..runtime.engines.fit import check_runs, other_gpu
from ..runtime.engines.gpu import architecture, current
from ..runtime.errors import GeoAwareError, InputError
from ..runtime.machine import versions
from ..runtime.manifest import (
    MANIFEST,
    Built,
    Manifest,
    MaskDecoder,
    Model,
    Parity,
    WeightsRecord,
)
from ..runtime.recipe import Recipe
from . import graphs, to_onnx
from .backbones import entry
from .describe import describe
from .graphs import Graph
from .modules import reference_decoder, reference_graphs
from .parts import resolve_all
from .publish import building, check_replaceable, publish
from .quantise import quantise_dynamic, quantise_static
from .request import Request
from .tensorrt.engines import (
    carry_over_bundle,
    carry_over_engines,
    gpu_for,
    is_built,
    with_engines,
)
from .tensorrt.proof import proved
from .verify import frames, photographs, prove_bfloat16, verify, verify_decoder
from .weights import Weights, source_of

VERSIONS_OF = (
    "geoaware", "torch", "transformers", "diffusers", "onnx", "onnxscript", "onnxruntime",
    "openvino", "numpy",
)  # fmt: skip

Report = Callable[[str], None]


def build(request: Request, report: Report) -> tuple[Bundle, bool]:
    """Build, verify and publish a bundle; also return whether there was anything to do.

    A bundle that is there and answers the same request is left alone unless `force` is set.
    The models are published before engines are built of them, so a build of engines that fails or
    is ended does not lose them, and the next one goes on from there.

    Raises InputError for a request that cannot be, ParityError where the result is not what the
    PyTorch model computes; then that is not published.
    """
    request.check()
    engine = request.engine
    gpu = gpu_for(engine) if engine else None
    check_replaceable(request.target)
    report("resolving weights")
    weights = resolve_all(request.recipe, request.sources, request.seed)
    if request.head:
        request.head.check(weights)
    with building(request.target, report) as folder:
        bundle = None if request.force else _intact(request.target)
        if bundle:
            request.check_same(weights, bundle.manifest)
            if engine is None or is_built(engine, bundle, gpu):
                return bundle, False
            reference = reference_graphs(request.recipe, weights) if gpu else []
        else:
            report("loading the weights")
            reference = reference_graphs(request.recipe, weights)
            manifest = _models(request, reference, weights, folder, report)
            manifest = carry_over_engines(request.target, manifest, folder)
            bundle = _published(manifest, folder, request.target, report)
        if engine:
            folder.mkdir(exist_ok=True)
            carry_over_bundle(bundle, folder)
            manifest = with_engines(bundle.manifest, engine, gpu, reference, folder, report)
            bundle = _published(manifest, folder, request.target, report)
    return bundle, True


def prove(bundle: Bundle, sources: Mapping[str, str], report: Report) -> Bundle:
    """Prove the engines of a bundle that were built without a GPU, on this one, and enter it.

    sources: as in `reverify`. Raises InputError where there are none for this GPU, ParityError
    where one does not compute what PyTorch computes: then nothing changes.
    """
    gpu = current()
    path = bundle.path.resolve()
    with building(path, report) as folder:
        bundle = Bundle.open(path).verified()
        here = [
            record
            for record in bundle.manifest.engines
            if record.parity is None and not other_gpu(record, gpu)
        ]
        if not here:
            raise InputError(
                f"{bundle.path}: has no unproved engine for {gpu.name} ({architecture(gpu)})"
            )
        for record in here:
            check_runs(record, bundle, gpu)
        weights = _weights_of(bundle, sources, report)
        reference = reference_graphs(bundle.manifest.recipe, weights)
        carry_over_bundle(bundle, folder)
        engines = tuple(
            proved(record, bundle.manifest, reference, folder, gpu, report)
            if record in here
            else record
            for record in bundle.manifest.engines
        )
        manifest = bundle.manifest.model_copy(update={"engines": engines})
        return _published(manifest, folder, path, report)


def reverify(bundle: Bundle, sources: Mapping[str, str], report: Report) -> Parity:
    """Compare a bundle with PyTorch again, from the weights it was built from.

    Raises GeoAwareError where those weights are not found, ParityError where it differs.
    """
    manifest = bundle.manifest
    weights = _weights_of(bundle, sources, report)
    reference = reference_graphs(manifest.recipe, weights)
    report(f"comparing with PyTorch on {len(photographs(reference))} photographs")
    if decoder := reference_decoder(manifest.recipe, weights):
        assert manifest.masks
        verify_decoder(decoder, reference, manifest.recipe, bundle.path, manifest.masks.model)
    return verify(manifest.recipe, reference, bundle.path, manifest.models)


def _weights_of(bundle: Bundle, sources: Mapping[str, str], report: Report) -> dict[str, Weights]:
    """The weights that a bundle was built from."""
    report("resolving weights")
    recorded = {record.part: record for record in bundle.manifest.weights}
    weights = resolve_all(
        bundle.manifest.recipe,
        {part: source_of(each) for part, each in recorded.items() if part not in sources}
        | dict(sources),
    )
    for part, found in weights.items():
        if part not in recorded:
            raise InputError(f"--weights {part}=…: this bundle was built without that part")
        if found.sha256 != recorded[part].sha256:
            raise GeoAwareError(
                f"{found.source}: not the {part} weights this bundle was built from; "
                f"name those: --weights {part}=SOURCE"
            )
    return weights


def _models(
    request: Request,
    reference: Sequence[Graph],
    weights: Mapping[str, Weights],
    folder: Path,
    report: Report,
) -> Manifest:
    """Export the models to a folder and verify them; the manifest of them."""
    models = _export(request, reference, weights, folder, report)
    decoder = _decoder(request, reference, weights, folder)
    report(f"verifying against PyTorch on {len(photographs(reference))} photographs")
    return Manifest(
        name=request.name,
        recipe=request.recipe,
        models=models,
        weights=_records(weights),
        parity=verify(request.recipe, reference, folder, models),
        bfloat16=prove_bfloat16(request.recipe, reference, folder, models, report),
        built=_built(),
        masks=decoder,
    )


def _published(manifest: Manifest, folder: Path, target: Path, report: Report) -> Bundle:
    """Write the manifest, drop engines that it no longer names, and publish the folder."""
    report("publishing")
    kept = {file.name for file in (*manifest.files, *manifest.engine_files)}
    for file in folder.iterdir():
        if file.name not in kept:
            file.unlink()
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")
    publish(folder, target)
    return Bundle(target, manifest)


def _export(
    request: Request,
    reference: Sequence[Graph],
    weights: Mapping[str, Weights],
    folder: Path,
    report: Report,
) -> tuple[Model, ...]:
    report(f"exporting to ONNX, {request.precision}")
    parts = reference
    if request.precision == "fp16":
        parts = reference_graphs(request.recipe, weights, torch.float16)
    files = [to_onnx.export(part, folder, request.opset) for part in parts]
    stored_as = request.precision
    if request.precision == "int8":
        report("quantising to int8")
        _quantise(request.recipe, reference, files)
    elif request.compact and request.precision == "fp32":
        stored_as = "fp16"
        for file in files:
            to_onnx.store_half(file)
    return tuple(describe(file, request.precision, stored_as) for file in files)


def _quantise(recipe: Recipe, reference: Sequence[Graph], files: Sequence[Path]) -> None:
    if any(entry(use.name).attends for use in recipe.backbones):
        for file in files:
            quantise_dynamic(file)
        return
    feeds = [
        graphs.inputs(reference, frames(recipe, each, mirrored=True))
        for each in photographs(reference)
    ]
    for index, file in enumerate(files):
        quantise_static(file, [feed[index] for feed in feeds])


def _decoder(
    request: Request, reference: Sequence[Graph], weights: Mapping[str, Weights], folder: Path
) -> MaskDecoder | None:
    """The mask decoder of a recipe that has one; it is small, and stays in fp32."""
    graph = reference_decoder(request.recipe, weights)
    if graph is None:
        return None
    model = describe(to_onnx.export(graph, folder, request.opset), "fp32", "fp32")
    error = verify_decoder(graph, reference, request.recipe, folder, model)
    return MaskDecoder(model=model, relative_error=error)


def _records(weights: Mapping[str, Weights]) -> tuple[WeightsRecord, ...]:
    return tuple(
        WeightsRecord(
            part=part,
            source=found.source,
            revision=found.revision,
            sha256=found.sha256,
            licence=found.licence,
        )
        for part, found in weights.items()
    )


def _intact(folder: Path) -> Bundle | None:
    """The bundle in a folder; None where there is none, or one that cannot be used."""
    try:
        return Bundle.open(folder).verified()
    except GeoAwareError:
        return None


def _built() -> Built:
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Built(date=date, versions=versions(VERSIONS_OF))
