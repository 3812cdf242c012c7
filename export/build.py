"""From a recipe to a published bundle: resolve, load, export, verify, publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import torch

from ..runtime.bundle import MANIFEST, Bundle
from ..runtime.errors import GeoAwareError, InputError
from ..runtime.machine import versions
from ..runtime.manifest import Built, Manifest, MaskDecoder, Model, Parity, WeightsRecord
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
from .verify import frames, photographs, verify, verify_decoder
from .weights import Weights, source_of

VERSIONS_OF = (
    "geoaware", "torch", "transformers", "diffusers", "onnx", "onnxscript", "onnxruntime", "numpy"
)  # fmt: skip

Report = Callable[[str], None]


def build(request: Request, report: Report) -> tuple[Bundle, bool]:
    """Build, verify and publish a bundle; also return whether there was anything to do.

    A bundle that is there and answers the same request is left alone unless `force` is set.

    Raises InputError for a request that cannot be, ParityError where the result is not what the
    PyTorch model computes; then nothing is published.
    """
    request.check()
    check_replaceable(request.target)
    report("resolving weights")
    weights = resolve_all(request.recipe, request.weights, request.seed)
    with building(request.target, report) as folder:
        if not request.force and (there := _intact(request.target)):
            request.check_same(weights, there.manifest)
            return there, False
        report("loading the weights")
        reference = reference_graphs(request.recipe, weights)
        models = _export(request, reference, weights, folder, report)
        decoder = _decoder(request, reference, weights, folder)
        report(f"verifying against PyTorch on {len(photographs(reference))} photographs")
        manifest = Manifest(
            name=request.name,
            recipe=request.recipe,
            models=models,
            weights=_records(weights),
            parity=verify(request.recipe, reference, folder, models),
            built=_built(),
            masks=decoder,
        )
        report("publishing")
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")
        publish(folder, request.target)
    return Bundle(request.target, manifest), True


def reverify(bundle: Bundle, sources: Mapping[str, str], report: Report) -> Parity:
    """Compare a bundle with PyTorch again, from the weights it was built from.

    Raises GeoAwareError where those weights are not found, ParityError where it differs.
    """
    manifest = bundle.manifest
    report("resolving weights")
    recorded = {record.part: record for record in manifest.weights}
    weights = resolve_all(
        manifest.recipe,
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
    reference = reference_graphs(manifest.recipe, weights)
    report(f"comparing with PyTorch on {len(photographs(reference))} photographs")
    if decoder := reference_decoder(manifest.recipe, weights):
        assert manifest.masks
        verify_decoder(decoder, reference, manifest.recipe, bundle.path, manifest.masks.model)
    return verify(manifest.recipe, reference, bundle.path, manifest.models)


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
