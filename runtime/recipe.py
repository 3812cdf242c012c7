"""Recipes: which backbones see which frame, how their features fuse, how they are matched."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ..kernels.softargmax import SoftArgmax, Variant
from .geometry import Mode

NAME_PATTERN = r"[a-z0-9][a-z0-9+._-]{0,63}"

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]


class Strict(BaseModel):
    """A schema that refuses unknown keys and does not change once made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FrameSpec(Strict):
    """How an image is placed in the frame; points live in the frame of this side.

    padding: the RGB colour, in [0, 1], of what the image leaves free.
    """

    mode: Mode
    side: int = Field(ge=32, le=4096, description="frame pixels")
    resample: Literal["lanczos", "bilinear", "bilinear-no-antialias"]
    padding: tuple[Share, Share, Share] = (0.0, 0.0, 0.0)


class Tap(Strict):
    """One output of a backbone and its weight in the fused descriptor."""

    at: str
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)


class Diffusion(Strict):
    """How a diffusion model is asked for features of an image.

    timestep: of 1000, how much noise the image gets; "none" for no noise and time 0.
    noise: false tells the model the time step, but leaves the image as it is.
    conditioning: the text's embedding: of "" (`empty`), of `caption`, or of what the image itself
    suggests (`implicit`).
    freeu: whether FreeU rescales the features and the skips on the up path.
    """

    timestep: Annotated[int, Field(ge=0, le=999)] | Literal["none"] = 50
    conditioning: Literal["empty", "caption", "implicit"] = "empty"
    caption: str | None = None
    noise: bool = True
    seed: int = Field(default=42, description="of the noise")
    freeu: bool = True

    @model_validator(mode="after")
    def _caption_belongs(self) -> Diffusion:
        if (self.caption is not None) != (self.conditioning == "caption"):
            raise ValueError("caption goes with conditioning: caption, and only with it")
        return self


class BackboneUse(Strict):
    """A backbone, the taps taken from it, and the side of its frame where it differs."""

    name: Name
    taps: tuple[Tap, ...] = Field(min_length=1)
    side: int | None = Field(default=None, ge=32, le=4096)
    diffusion: Diffusion | None = None


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
    `backbone`'s weighted taps together; or `none`. The descriptor is normalised in the end in any
    case. `masks` adds SAM's prompt encoder and mask decoder to the bundle.

    A `head` takes the weighted taps as they are, and its result is the descriptor. With `keep`, the
    fused taps stay beside it: cat(sqrt(keep) * fused, sqrt(1 - keep) * head), both of unit norm, so
    that the similarity of two cells is keep * that of the taps + (1 - keep) * that of the head.
    """

    name: Name
    summary: str
    frame: FrameSpec
    grid: int = Field(ge=1, le=1024, description="cells along each side")
    backbones: tuple[BackboneUse, ...] = Field(min_length=1)
    normalise: Literal["tap", "backbone", "none"] = "tap"
    head: Name | None = Field(default=None, description="projection network after the taps")
    keep: float = Field(default=0.0, ge=0, lt=1, description="the taps' share beside a head")
    matching: Matching
    masks: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if self.keep and not self.head:
            raise ValueError("keep is the fused taps' share beside a head; there is none")
        if self.keep and self.normalise == "none":
            raise ValueError("keep needs to know how taps are fused: normalise: tap or backbone")
        if self.head and not self.keep and self.normalise != "none":
            raise ValueError("a head takes the taps as they are: write normalise: none")
        if self.head and self.head.partition(".")[0] in {use.name for use in self.backbones}:
            raise ValueError(f"the head's name, {self.head}, is a backbone's; choose another")
        if self.masks and [use.taps[0].at for use in self.backbones] != ["neck"]:
            raise ValueError("masks are made of one backbone's tap neck, SAM's")
        return self
