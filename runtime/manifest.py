"""The bundle's manifest.json: what was built, from what, how exactly, and how it was checked."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from .recipe import Name, Recipe, Strict

Precision = Literal["fp32", "fp16", "int8"]
# How the source of weights begins that were a file of the user's, or that nobody trained.
LOCAL, RANDOM = "local:", "random:"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _plain_file_name(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\\" in name or ":" in name:
        raise ValueError(f"{name!r} is not the name of a file in the bundle's folder")
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


class Built(Strict):
    """When and with what the bundle was built."""

    date: str
    versions: dict[str, str]


class Manifest(Strict):
    """The whole of manifest.json. One of the models gives `descriptors`."""

    schema_version: Literal[1] = 1
    name: Name
    recipe: Recipe
    models: tuple[Model, ...] = Field(min_length=1)
    weights: tuple[WeightsRecord, ...]
    parity: Parity
    built: Built
    masks: MaskDecoder | None = None

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

    @property
    def files(self) -> list[File]:
        """Every file of the bundle but the manifest."""
        models = [*self.models, *([self.masks.model] if self.masks else [])]
        return [file for model in models for file in model.files]

    @property
    def is_random(self) -> bool:
        """Whether any of its weights are random: good for timing, not for matching."""
        return any(record.source.startswith(RANDOM) for record in self.weights)

    def hash(self) -> str:
        """16 hex digits that change whenever the descriptors of an image may change."""
        content = {
            "frame": self.recipe.frame.model_dump(exclude_defaults=True),
            "models": [[file.sha256 for file in model.files] for model in self.models],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
