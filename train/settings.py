"""What a run of training can be told: every key of a preset or a YAML file, and what it means."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from ..runtime.datasets import DATASETS
from ..runtime.recipe import Matching, Name, Strict
from .mirroring import Mirroring, Weight

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Categories = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]


class Data(Strict):
    """The dataset whose train split is learnt from."""

    dataset: Literal[tuple(DATASETS)] = Field(description="its name, as `georun eval` takes it")
    root: str | None = Field(None, description="its folder; else under $GEOAWARE_DATA")
    setting: str | None = Field(None, description="its variant, such as `small` or `across`")
    categories: Categories = Field((), description="learn from pairs of these only")


class Validation(Strict):
    """PCK on pairs of the val split, always the same ones."""

    every: int = Field(1000, ge=1, description="steps between two validations")
    pairs: int = Field(20, ge=1, description="pairs of each category, drawn at random")
    categories: Categories = Field((), description="pairs of these only")
    protocol: str | None = Field(None, description="how PCK is computed; else the dataset's usual")
    alpha: Positive = Field(0.1, description="threshold whose PCK decides which step is best")


class Fitting(Strict):
    """How weights are fitted to a loss, whatever the loss."""

    steps: int | None = Field(None, ge=1, description="steps of the optimiser, AdamW; or `epochs`")
    epochs: int | None = Field(None, ge=1, description="times that all pairs are gone through")
    learning_rate: Positive = Field(1.25e-3, description="the highest of the schedule")
    weight_decay: Weight = Field(1e-3, description="of AdamW")
    schedule: Literal["one-cycle", "cosine", "constant"] = Field(
        "one-cycle", description="how the learning rate changes"
    )
    warm_up: Share = Field(0.3, description="share of the steps in which one-cycle rises")
    clip: Positive = Field(10.0, description="largest norm of the gradient; beyond, it is scaled")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="what is computed in where that is safe; fp16 on GPUs only"
    )
    checkpoint_every: int = Field(500, ge=1, description="steps that an interruption may cost")
    seed: int = Field(0, ge=0, lt=2**31, description="of all that is random")

    @model_validator(mode="after")
    def _has_an_end(self) -> Fitting:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give one of steps and epochs")
        return self

    def lasting(self, epoch: int) -> Fitting:
        """The same in steps, of which an epoch has so many, but one at least."""
        if self.epochs is None:
            return self
        return self.model_copy(update={"steps": self.epochs * max(1, epoch), "epochs": None})


class Shape(Strict):
    """The projection head's widths. Those of the original are the defaults."""

    hidden: int = Field(192, ge=1, description="channels inside the bottlenecks")
    outputs: int = Field(768, ge=1, description="channels of the descriptor")
    groups: int = Field(32, ge=1, description="of every GroupNorm; divides both widths")
    dropout: Share = Field(0.2, description="share of the input's values left out, in training")

    @model_validator(mode="after")
    def _groups_divide_widths(self) -> Shape:
        for name in ("hidden", "outputs"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"{name}, {getattr(self, name)}, is not divisible into {self.groups} groups"
                )
        return self


class Losses(Strict):
    """The terms of the loss; a weight of 0 leaves a term out."""

    contrastive: Weight = Field(1.0, description="weight: keypoints of a pair against each other")
    dense: Weight = Field(1.0, description="weight: distance of the expected cell from the truth")
    temperature: Positive = Field(0.02, description="of the soft-argmax in `dense`")
    window: int | None = Field(
        None, ge=1, description="cells to each side of its peak; none for the whole grid"
    )
    noise: Weight = Field(
        0.1, description="deviation of the noise on the truth, in half boxes of the target"
    )
    cells: Weight = Field(0.0, description="weight: cross-entropy over the target's cells")
    cells_temperature: Positive = Field(0.05, description="of the softmax in `cells`")

    @model_validator(mode="after")
    def _something_is_learnt(self) -> Losses:
        if not (self.contrastive or self.dense or self.cells):
            raise ValueError("contrastive, dense and cells are all 0: nothing would be learnt")
        return self


class Batch(Strict):
    """What a step is made of."""

    pairs: int = Field(1, ge=1, description="pairs of a step, before mirroring")
    images: int | None = Field(
        None,
        ge=2,
        description="draw a step's pairs among so many images of a category, "
        "each of which is computed once; else epochs over all pairs in random order",
    )


class HeadSettings(Strict):
    """A run of `geotrain head`."""

    name: Name = Field(description="of the head; bundles are named after it")
    recipe: str = Field(description="whose taps the head works on: a name or a YAML file")
    frame: int | None = Field(None, ge=32, le=4096, description="frame side, where another")
    matching: Matching | None = Field(None, description="how its bundle matches, where otherwise")
    start: str | None = Field(None, description="head to begin from: a .safetensors file, a run")
    data: Data
    head: Shape = Shape()
    losses: Losses = Losses()
    mirroring: Mirroring = Mirroring()
    batch: Batch = Batch()
    fitting: Fitting
    validation: Validation = Validation()
