"""The bundle's manifest.json: what was built, from what, how exactly, and how it was checked."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from .recipe import Name, Recipe, Strict

MANIFEST = "manifest.json"

Precision = Literal["fp32", "fp16", "int8"]
EngineKind = Literal["tensorrt", "tensorrt-rtx"]
# How the source of weights begins that were a file of the user's, or that nobody trained.
LOCAL, RANDOM = "local:", "random:"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _plain_file_name(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\\" in name or ":" in name:
        raise ValueError(f"{name!r} is not the name of a file in the bundle's folder")
    if name == MANIFEST:
        raise ValueError(f"{name} is the manifest itself")
    return name


class File(Strict):
    """A file of the bundle; it lies directly in the bundle's folder."""

    name: Annotated[str, AfterValidator(_plain_file_name)]
    sha256: Sha256
    bytes: int


class Tensor(Strict):
    """An input or output. A named dimension (such as "batch") is free."""

    name: str
    shape: tuple[int | str, ...] = Field(min_length=1)
    dtype: str


class Model(Strict):
    """One ONNX graph. Its first file is the graph, others hold external weights.

    An input named `image` takes the RGB frame at the input's own side, (batch, 3, side, side)
    in [0, 1]; any other input takes the output of that name of a model before it.

    compute: the share of its convolutions, matrix products and attentions that compute in each
    precision; empty for a graph without any.
    """

    files: tuple[File, ...] = Field(min_length=1)
    inputs: tuple[Tensor, ...] = Field(min_length=1)
    outputs: tuple[Tensor, ...]
    opset: int
    precision: Precision
    compute: dict[Precision, float]
    stored_as: Precision = Field(description="type of the stored weights")


class WeightsRecord(Strict):
    """Where a part's weights came from; random ones have a seed and no hash."""

    part: Name
    source: str
    revision: str | None
    sha256: Sha256 | None
    licence: str


class Parity(Strict):
    """The built models in onnxruntime against the fp32 PyTorch model, on photographs.

    cosine_min and cosine_mean are over all cells of all images, relative_error is
    max |a - b| / max |b| over all of them. match_agreement is the share of one image's cells
    whose most similar cell in the next is PyTorch's, or one it finds as similar to 1e-5;
    near_agreement counts neighbours of it too. Both are the lowest of all pairs.
    """

    images: int
    cosine_min: float
    cosine_mean: float
    max_abs_error: float
    relative_error: float
    match_agreement: float
    near_agreement: float


class MaskDecoder(Strict):
    """SAM's prompt encoder and mask decoder, beside models that give `embedding`.

    Its model takes `embedding`, `points` (batch, prompts, 2) in frame pixels and `labels` (batch,
    prompts): 1 the object, 0 the background, 2 and 3 the corners of a box, -1 nothing. It gives
    `masks` (batch, 4, h, w), logits over the frame, and `scores` (batch, 4), the overlap expected;
    the first is the single mask, the others are those of an ambiguous prompt.

    relative_error: of both against PyTorch, as in `Parity`.
    """

    model: Model
    relative_error: float

    @model_validator(mode="after")
    def _has_its_tensors(self) -> MaskDecoder:
        inputs, outputs = (
            {tensor.name for tensor in each} for each in (self.model.inputs, self.model.outputs)
        )
        if inputs != {"embedding", "points", "labels"} or not {"masks", "scores"} <= outputs:
            raise ValueError("a mask decoder takes embedding, points, labels; gives masks, scores")
        return self


class EngineOptions(Strict):
    """What the builder of engines was asked for; None leaves it to TensorRT.

    workspace_gb: the most GPU memory a layer may take for itself, in units of 2³⁰ bytes.
    version_compatible: runs on later versions of TensorRT too. hardware_compatible: runs on every
    GPU of compute capability 8.0 and later.
    """

    workspace_gb: float | None = Field(default=None, gt=0)
    optimisation_level: int | None = Field(default=None, ge=0, le=5)
    version_compatible: bool = False
    hardware_compatible: bool = False


class Plan(Strict):
    """One model as an engine.

    model: the SHA-256 of the model's files that it was built from.
    network: how many of the layers that compute (convolutions, products, attentions) were given to
    the builder in each type. layers: how many layers the engine has of each type, as its inspector
    tells; None while nobody looked, which takes a GPU.
    """

    model: tuple[Sha256, ...]
    file: File
    network: dict[str, int]
    layers: dict[str, int] | None


class EngineRecord(Strict):
    """All models of a bundle, compiled for one GPU, or ahead of time for an architecture.

    version: of TensorRT. gpu: None for an engine that was built without a GPU. batches: the batch
    sizes it takes, ascending, one fixed shape each. plans: of the bundle's models, in their order.
    parity: as in `Parity`, with the engines in the place of onnxruntime; None while unproved.
    """

    kind: EngineKind
    version: str
    compute_capability: str = Field(pattern=r"^\d+\.\d$")
    gpu: str | None
    precision: Precision
    batches: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    options: EngineOptions
    plans: tuple[Plan, ...] = Field(min_length=1)
    parity: Parity | None

    @property
    def target(self) -> tuple[str, str, str | None]:
        """What it is for: a bundle has one record for each kind, architecture and GPU."""
        return self.kind, self.compute_capability, self.gpu

    @model_validator(mode="after")
    def _batches_ascend(self) -> EngineRecord:
        if self.batches != tuple(sorted(set(self.batches))):
            raise ValueError(f"batches of {', '.join(map(str, self.batches))} do not ascend")
        return self


class Built(Strict):
    """When and with what the bundle was built."""

    date: str
    versions: dict[str, str]


class Manifest(Strict):
    """The whole of manifest.json. One of the models gives `descriptors`.

    bfloat16: the parity of fp16 models as OpenVINO computes them in bfloat16; None where they were
    not proved in it.
    """

    schema_version: Literal[1] = 1
    name: Name
    recipe: Recipe
    models: tuple[Model, ...] = Field(min_length=1)
    weights: tuple[WeightsRecord, ...]
    parity: Parity
    bfloat16: Parity | None = None
    built: Built
    masks: MaskDecoder | None = None
    engines: tuple[EngineRecord, ...] = ()

    @model_validator(mode="after")
    def _models_form_a_chain(self) -> Manifest:
        known = {"image"}
        for model in self.models:
            for tensor in model.inputs:
                if tensor.name not in known:
                    raise ValueError(f"no model before gives the input {tensor.name!r}")
                if tensor.name == "image" and not isinstance(tensor.shape[-1], int):
                    raise ValueError("the side of the input 'image' must be a number")
            known |= {tensor.name for tensor in model.outputs}
        if "descriptors" not in known:
            raise ValueError("no model gives 'descriptors'")
        if self.masks and "embedding" not in known:
            raise ValueError("a mask decoder, and no model gives the 'embedding' it takes")
        if len({model.precision for model in self.models}) > 1:
            raise ValueError("models of different precision")
        return self

    @property
    def precision(self) -> Precision:
        """The precision that all its models share."""
        return self.models[0].precision

    @model_validator(mode="after")
    def _engines_are_of_its_models(self) -> Manifest:
        if any(len(record.plans) != len(self.models) for record in self.engines):
            raise ValueError("an engine does not have one plan for each model")
        if len({record.target for record in self.engines}) < len(self.engines):
            raise ValueError("two engines for the same GPU")
        return self

    @model_validator(mode="after")
    def _files_are_its_own(self) -> Manifest:
        names = [file.name for file in (*self.files, *self.engine_files)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two files named {twice}")
        return self

    @property
    def files(self) -> list[File]:
        """Every file that the bundle needs on any machine: all but the manifest and engines."""
        models = [*self.models, *([self.masks.model] if self.masks else [])]
        return [file for model in models for file in model.files]

    @property
    def engine_files(self) -> list[File]:
        """The files of all engines."""
        return [plan.file for record in self.engines for plan in record.plans]

    @property
    def is_random(self) -> bool:
        """Whether any of its weights are random: good for timing, not for matching."""
        return any(record.source.startswith(RANDOM) for record in self.weights)

    def hash(self) -> str:
        """16 hex digits that change whenever the descriptors of an image may change.

        What a proved device rounds otherwise is no change: fp16 on a GPU, bfloat16 on a CPU.
        """
        content = {
            "frame": self.recipe.frame.model_dump(exclude_defaults=True),
            "models": [[file.sha256 for file in model.files] for model in self.models],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
