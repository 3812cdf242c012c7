"""A build must prove itself: ONNX in onnxruntime against the fp32 PyTorch model, on photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ImageOps
from torch import Tensor

from ..examples import PHOTOGRAPHS
from ..kernels import match
from ..runtime.engines import Device, open_engine
from ..runtime.engines.openvino import has_bfloat16
from ..runtime.errors import GeoAwareError
from ..runtime.extractor import Extractor
from ..runtime.images import load, to_frame
from ..runtime.manifest import Model, Parity
from ..runtime.recipe import Recipe
from ..runtime.segmenter import BOTTOM_RIGHT, OBJECT, PADDING, TOP_LEFT
from . import graphs
from .divergence import first_divergence
from .graphs import Graph

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Tolerance:
    """The least agreement and the largest error a build may have. See `Parity`."""

    cosine_min: float
    cosine_mean: float
    near_agreement: float
    match_agreement: float = 0.0
    relative_error: float | None = None


# By (precision, type of the stored weights).
TOLERANCES = {
    ("fp32", "fp32"): Tolerance(
        0.99999, 0.999999, 0.999, match_agreement=0.999, relative_error=1e-4
    ),
    ("fp32", "fp16"): Tolerance(0.999, 0.9999, 0.95),
    ("fp16", "fp16"): Tolerance(0.995, 0.9995, 0.95),
    ("int8", "int8"): Tolerance(0.97, 0.99, 0.80),
}


TIE = 1e-5

# The least share of compute nodes that must be in the precision a model is named after. Int8 leaves
# out what has no weights: in SAM's attention that is four products of eight.
LEAST_SHARE = {"fp32": 1.0, "fp16": 0.9, "int8": 0.4}

# The mask decoder is always fp32.
DECODER_ERROR = 1e-4

# A model with more weights than this takes a CPU long for each image: two have to do.
LARGE_BYTES = 1_000_000_000


class ParityError(GeoAwareError):
    """A built model does not compute what the PyTorch model does."""


def frames(recipe: Recipe, photograph: Path, mirrored: bool = False) -> dict[int, Tensor]:
    """A photograph in the frame of every side a recipe uses: (1, 3, side, side) in [0, 1]."""
    image = load(photograph)
    if mirrored:
        image = ImageOps.mirror(image)
    sides = {use.side or recipe.frame.side for use in recipe.backbones}
    return {side: torch.from_numpy(to_frame(image, recipe.frame, side)[None]) for side in sides}


def verify(
    recipe: Recipe, reference: Sequence[Graph], folder: Path, models: Sequence[Model]
) -> Parity:
    """Compare the models in a folder with the recipe's fp32 graphs on the example photographs.

    Raises ParityError with the figures and the first layer that diverges.
    """
    check_precision(models)
    parity = measure(recipe, reference, folder, models)
    tolerance = TOLERANCES[models[0].precision, models[0].stored_as]
    if problem := out_of(tolerance, parity):
        images = frames(recipe, PHOTOGRAPHS[0])
        graph_files = [folder / model.files[0].name for model in models]
        layer = first_divergence(reference, graph_files, images, models[0].precision)
        raise ParityError(f"not the model it should be: {problem}; first diverging layer: {layer}")
    return parity


def check_precision(models: Sequence[Model]) -> None:
    """Raise ParityError for models that do not compute in the precision they are named after."""
    for model in models:
        share = model.compute.get(model.precision, 0.0)
        if model.compute and share < LEAST_SHARE[model.precision]:
            raise ParityError(
                f"{model.files[0].name}: only {share:.0%} of it computes in {model.precision}"
            )


def photographs(reference: Sequence[Graph]) -> tuple[Path, ...]:
    """The photographs to verify these graphs on."""
    size = sum(p.numel() * p.element_size() for part in reference for p in part.module.parameters())
    return PHOTOGRAPHS[:2] if size > LARGE_BYTES else PHOTOGRAPHS


def verify_decoder(
    reference: Graph, features: Sequence[Graph], recipe: Recipe, folder: Path, model: Model
) -> float:
    """The largest relative error of a mask decoder's outputs, for a box and for a lone point.

    Raises ParityError where it is too large.
    """
    engine = open_engine(folder, model, "cpu")
    [side] = {use.side or recipe.frame.side for use in recipe.backbones}
    embedding = graphs.outputs(features, frames(recipe, PHOTOGRAPHS[0]))["embedding"]
    error = 0.0
    for labels in ((TOP_LEFT, BOTTOM_RIGHT), (OBJECT, PADDING)):
        points = torch.tensor([[[side / 4, side / 4], [side * 3 / 4, side * 3 / 4]]])
        feed = {"embedding": embedding, "points": points, "labels": torch.tensor([labels])}
        with torch.inference_mode():
            truth = dict(zip(reference.outputs, reference.module(*feed.values()), strict=True))
        found = engine.run({name: tensor.numpy() for name, tensor in feed.items()})
        for name, expected in truth.items():
            difference = abs(found[name] - expected.numpy()).max()
            error = max(error, float(difference / expected.abs().max()))
    if not error <= DECODER_ERROR:
        raise ParityError(f"mask decoder: relative error {error:.2e} > {DECODER_ERROR}")
    return error


def prove_bfloat16(
    recipe: Recipe,
    reference: Sequence[Graph],
    folder: Path,
    models: Sequence[Model],
    report: Callable[[str], None],
) -> Parity | None:
    """The parity figures of fp16 models that OpenVINO computes in bfloat16, in fp16's tolerance.

    None where they are not in it, where OpenVINO or the processor does not have it or cannot
    compute them, for large models, which take a CPU long, or for models of another precision.
    """
    large = sum(file.bytes for model in models for file in model.files) > LARGE_BYTES
    if models[0].precision != "fp16" or large or not _has_bfloat16():
        return None
    report("verifying in bfloat16")
    try:
        parity = measure(recipe, reference, folder, models, "openvino-bf16")
    except GeoAwareError as error:  # the models are good, and proved on the CPU
        report(f"not for bfloat16: {error}")
        return None
    if problem := out_of(TOLERANCES["fp16", "fp16"], parity):
        report(f"not for bfloat16: {problem}; OpenVINO will compute it in fp32")
        return None
    return parity


def _has_bfloat16() -> bool:
    try:
        return has_bfloat16()
    except GeoAwareError:
        return False


def measure(
    recipe: Recipe,
    reference: Sequence[Graph],
    folder: Path,
    models: Sequence[Model],
    device: Device = "cpu",
) -> Parity:
    """The parity figures of the models in a folder, on a device of the host."""
    extractor = Extractor(folder, models, recipe.frame, device)
    built = [extractor.descriptors(load(each)) for each in photographs(reference)]
    return compare(built, truths(recipe, reference))


def truths(recipe: Recipe, reference: Sequence[Graph]) -> list[Float32]:
    """PyTorch's descriptors (rows, cols, channels) of every photograph to verify on."""
    return [
        graphs.run(reference, frames(recipe, each))[0].numpy() for each in photographs(reference)
    ]


def compare(built: Sequence[Float32], truth: Sequence[Float32]) -> Parity:
    """The parity figures of descriptors (rows, cols, channels) of the photographs."""
    cosines = np.stack([np.einsum("hwc,hwc->hw", a, b) for a, b in zip(built, truth, strict=True)])
    error = max(float(abs(a - b).max()) for a, b in zip(built, truth, strict=True))
    steps = [np.array([np.inf])]  # where half precision overflows, nothing can be matched
    if all(np.isfinite(each).all() for each in built):
        steps = [
            _steps_apart(built[i], built[i + 1], truth[i], truth[i + 1])
            for i in range(len(built) - 1)
        ]
    return Parity(
        images=len(built),
        cosine_min=float(cosines.min()),
        cosine_mean=float(cosines.mean()),
        max_abs_error=error,
        relative_error=error / max(float(abs(b).max()) for b in truth),
        match_agreement=min(float((each == 0).mean()) for each in steps),
        near_agreement=min(float((each <= 1).mean()) for each in steps),
    )


def _steps_apart(a: Float32, b: Float32, true_a: Float32, true_b: Float32) -> Float32:
    """How many cells apart each cell of a finds its most similar cell in b and in the true b.

    0 also where PyTorch finds both equally similar, to 1e-5: which of them wins is rounding.
    """
    channels = a.shape[-1]
    queries = np.ascontiguousarray(true_a).reshape(-1, channels)
    found, truth = match(a.reshape(-1, channels), b), match(queries, true_b)
    similarity = np.einsum("kc,kc->k", queries, true_b.reshape(-1, channels)[found.peaks])
    apart = abs(found.cells - truth.cells).max(axis=1)
    return np.where(truth.similarity - similarity <= TIE, 0, apart)


def out_of(tolerance: Tolerance, parity: Parity) -> str | None:
    """The first figure that is out of tolerance; None where all are within."""
    for figure in ("cosine_min", "cosine_mean", "near_agreement", "match_agreement"):
        if not getattr(parity, figure) >= getattr(tolerance, figure):
            return f"{figure} {getattr(parity, figure):.6f} < {getattr(tolerance, figure)}"
    limit = tolerance.relative_error
    if limit is not None and not parity.relative_error <= limit:
        return f"relative_error {parity.relative_error:.2e} > {limit}"
    return None
