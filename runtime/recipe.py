"""Recipes: which backbones see which frame, how their features fuse, how they are matched."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ..kernels.softargmax import SoftArgmax, Variant
from .geometry import Mode

NAME_PATTERN = r"[a-z0-9][a-z0-9+._-]{0,63}"

Name = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]


class Strict(BaseModel):
    """A schema that refuses unknown keys and does not change once made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FrameSpec(Strict):
    """How an image is placed in the frame; points live in the frame of this side."""

    mode: Mode
    side: int = Field(ge=32, le=4096, description="frame pixels")
    resample: Literal["lanczos", "bilinear", "bilinear-no-antialias"]


class Tap(Strict):
    """One output of a backbone and its weight in the fused descriptor."""

    at: str
    weight: float = Field(default=1.0, gt=0)


class BackboneUse(Strict):
    """A backbone, the taps taken from it, and the side of its frame where it differs."""

    name: Name
    taps: tuple[Tap, ...] = Field(min_length=1)
    side: int | None = Field(default=None, ge=32, le=4096)


class Matching(Strict):
    """How points are found: `argmax`, or `softargmax` with its parameters.

    `window`, `temperature` and `variant` are those of `geoaware.kernels.SoftArgmax`.
    """

    method: Literal["argmax", "softargmax"] = "argmax"
    window: int | None = None
    temperature: float | None = None
    variant: Variant | None = None

    @model_validator(mode="after")
    def _complete(self) -> Matching:
        self.soft_argmax()
        return self

    def soft_argmax(self) -> SoftArgmax | None:
        """The estimator's settings, None for `argmax`; ValueError where they do not fit."""
        settings = (self.window, self.temperature, self.variant)
        if self.method == "argmax":
            if settings != (None, None, None):
                raise ValueError("window, temperature and variant belong to softargmax")
            return None
        if self.window is None or self.temperature is None or self.variant is None:
            raise ValueError("softargmax needs window, temperature and variant")
        return SoftArgmax(self.window, self.temperature, self.variant)


class Recipe(Strict):
    """One way to make and match descriptors; the unit a user names.

    Fusion brings every tap to `grid` x `grid` cells, weights and concatenates them.
    `normalise` says what gets unit norm before that: each `tap`, before it is weighted; each
    `backbone`'s weighted taps together; or, before a head, `none`. The descriptor is normalised
    in the end in any case.
    """

    name: Name
    summary: str
    frame: FrameSpec
    grid: int = Field(ge=1, le=1024, description="cells along each side")
    backbones: tuple[BackboneUse, ...] = Field(min_length=1)
    normalise: Literal["tap", "backbone", "none"] = "tap"
    head: Name | None = Field(default=None, description="projection network after fusion")
    matching: Matching
