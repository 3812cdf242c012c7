"""From a recipe to a published bundle: resolve, load, export, verify, publish."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import onnx
import torch

from ..examples import PHOTOGRAPHS
from ..runtime.bundle import MANIFEST, Bundle, home, sha256_of
from ..runtime.errors import GeoAwareError, InputError
from ..runtime.manifest import (
    Built,
    File,
    Manifest,
    Model,
    Parity,
    Precision,
    Tensor,
    WeightsRecord,
)
from ..runtime.recipe import NAME_PATTERN, Recipe
from . import graphs, to_onnx
from .backbones import entry
from .graphs import Graph
from .publish import building, check_replaceable, publish
from .quantise import quantise
from .state_dict import read_state
from .verify import frames, verify
from .weights import Weights, resolve, source_of

VERSIONS_OF = ("geoaware", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")

Report = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What to build.

    weights: source of the weights (see `weights.resolve`) by backbone, where it is not the known.
    frame: the side asked for, where it is not the recipe's own; `recipe` has it already.
    compact: store the weights of an fp32 model as fp16.
    """

    recipe: Recipe
    precision: Precision = "fp32"
    compact: bool = False
    opset: int = to_onnx.DEFAULT_OPSET
    weights: Mapping[str, str] = field(default_factory=dict)
    frame: int | None = None
    out: Path | None = None
    force: bool = False

    @property
    def name(self) -> str:
        """The recipe's name, the frame side where it was asked for, the precision but for fp32."""
        side = f"-{self.frame}px" if self.frame else ""
        precision = "" if self.precision == "fp32" else f"-{self.precision}"
        return self.recipe.name + side + precision

    @property
    def target(self) -> Path:
        """The folder the bundle is published to."""
        return (self.out or home() / self.name).expanduser().absolute()


def build(request: Request, report: Report) -> tuple[Bundle, bool]:
    """Build, verify and publish a bundle; also return whether there was anything to do.

    A bundle that is there and answers the same request is left alone unless `force` is set.

    Raises InputError for a request that cannot be, ParityError where the result is not what the
    PyTorch model computes; then nothing is published.
    """
    check_replaceable(request.target)
    if not re.fullmatch(NAME_PATTERN, request.name):
        raise InputError(f"{request.name!r} is too long for the name of a bundle")
    report("resolving weights")
    weights = resolve_all(request.recipe, request.weights)
    with building(request.target, report) as folder:
        if not request.force and (there := _intact(request.target)):
            _check_same(request, weights, there.manifest)
            return there, False
        reference = reference_graphs(request.recipe, weights)
        models = _export(request, reference, weights, folder, report)
        report(f"verifying against PyTorch on {len(PHOTOGRAPHS)} photographs")
        manifest = Manifest(
            name=request.name,
            recipe=request.recipe,
            models=models,
            weights=tuple(
                WeightsRecord(
                    part=part,
                    source=w.source,
                    revision=w.revision,
                    sha256=w.sha256,
                    licence=w.licence,
                )
                for part, w in weights.items()
            ),
            parity=verify(request.recipe, reference, folder, models),
            built=_built(),
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
        {part: sources.get(part) or source_of(record) for part, record in recorded.items()},
    )
    for part, found in weights.items():
        if found.sha256 != recorded[part].sha256:
            raise GeoAwareError(
                f"{found.path}: not the {part} weights this bundle was built from; "
                f"name those: --weights {part}=SOURCE"
            )
    reference = reference_graphs(manifest.recipe, weights)
    report(f"comparing with PyTorch on {len(PHOTOGRAPHS)} photographs")
    return verify(manifest.recipe, reference, bundle.path, manifest.models)


def resolve_all(recipe: Recipe, sources: Mapping[str, str]) -> dict[str, Weights]:
    """The weights of every part of a recipe, by its name."""
    if recipe.head:
        raise InputError(f"recipe {recipe.name}: no head {recipe.head!r} is known")
    parts = {use.name: entry(use.name) for use in recipe.backbones}
    if unknown := sources.keys() - parts.keys():
        raise InputError(
            f"--weights {min(unknown)}=…: recipe {recipe.name} has no such part; "
            f"it has {', '.join(parts)}"
        )
    return {name: resolve(name, part.weights, sources.get(name)) for name, part in parts.items()}


def reference_graphs(
    recipe: Recipe, weights: Mapping[str, Weights], dtype: torch.dtype = torch.float32
) -> list[Graph]:
    """The recipe's graphs with their weights loaded."""
    states = {name: read_state(found.path) for name, found in weights.items()}
    loaded = [
        entry(use.name).load(
            states[use.name], [tap.at for tap in use.taps], use.side or recipe.frame.side
        )
        for use in recipe.backbones
    ]
    return graphs.graphs(recipe, loaded, dtype=dtype)


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
        feeds = [
            graphs.inputs(reference, frames(request.recipe, each, mirrored=True))
            for each in PHOTOGRAPHS
        ]
        for index, file in enumerate(files):
            quantise(file, [feed[index] for feed in feeds])
    elif request.compact and request.precision == "fp32":
        stored_as = "fp16"
        for file in files:
            to_onnx.store_half(file)
    return tuple(_describe(file, request.precision, stored_as) for file in files)


def _describe(file: Path, precision: Precision, stored_as: Precision) -> Model:
    graph = onnx.load(file, load_external_data=False)
    beside = sorted(file.parent.glob(f"{file.name}.data"))
    return Model(
        files=tuple(
            File(name=each.name, sha256=sha256_of(each), bytes=each.stat().st_size)
            for each in (file, *beside)
        ),
        inputs=tuple(_tensor(value) for value in graph.graph.input),
        outputs=tuple(_tensor(value) for value in graph.graph.output),
        opset=next(
            entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx")
        ),
        precision=precision,
        stored_as=stored_as,
    )


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    return Tensor(
        name=value.name,
        shape=tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim),
        dtype=str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)),
    )


def _intact(folder: Path) -> Bundle | None:
    """The bundle in a folder; None where there is none, or one that cannot be used."""
    try:
        return Bundle.open(folder).verified()
    except GeoAwareError:
        return None


def _check_same(request: Request, weights: Mapping[str, Weights], manifest: Manifest) -> None:
    """Raise GeoAwareError where a bundle is not what the request asks for."""
    stored_as = "fp16" if request.compact else request.precision
    differences = [
        what
        for what, there, asked in (
            ("recipe", manifest.recipe, request.recipe),
            ("precision", manifest.precision, request.precision),
            ("stored weights", manifest.models[0].stored_as, stored_as),
            ("opset", manifest.models[0].opset, request.opset),
            (
                "weights",
                {record.part: record.sha256 for record in manifest.weights},
                {part: found.sha256 for part, found in weights.items()},
            ),
        )
        if there != asked
    ]
    if differences:
        raise GeoAwareError(
            f"{request.target}: a bundle with another {' and '.join(differences)} is there; "
            "replace it with --force or name another place with --out"
        )


def _built() -> Built:
    versions = {"python": platform.python_version()} | {name: version(name) for name in VERSIONS_OF}
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Built(date=date, versions=versions)
