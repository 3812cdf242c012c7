"""A run of `geotrain head`, to be built into a bundle."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..runtime.errors import GeoAwareError, InputError, first_problem
from ..runtime.manifest import LOCAL, Sha256
from ..runtime.recipe import BackboneUse, Name, Recipe
from .weights import Weights

RECORD, BEST = "run.json", "best.safetensors"


class TrainedOn(BaseModel):
    """The weights of a backbone that a head was trained on; random ones have no hash."""

    source: str
    sha256: Sha256 | None


class RunRecord(BaseModel):
    """What a build reads of a run's run.json; there is more in it.

    recipe: with this head in it. weights: of all its other parts.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1]
    kind: Literal["head"]
    name: Name
    recipe: Recipe
    weights: Mapping[str, TrainedOn]

    @model_validator(mode="after")
    def _recipe_has_the_head(self) -> RunRecord:
        if self.recipe.head != self.name:
            raise ValueError(f"the recipe's head is {self.recipe.head}, not {self.name}")
        return self


class _FinetuneRecord(BaseModel):
    """What tells a run of geotrain finetune, and its backbone."""

    kind: Literal["finetune"]
    weights: Mapping[str, TrainedOn] = Field(min_length=1)


@dataclass(frozen=True)
class HeadRun:
    """A trained head: what its run says of it, and the checkpoint to build.

    path: the folder, or the checkpoint in it, as it was asked for.
    """

    path: Path
    checkpoint: Path
    record: RunRecord

    @property
    def name(self) -> str:
        """The head's name."""
        return self.record.name

    def recipe_for(self, asked: Recipe, keep: float = 0.0) -> Recipe:
        """The run's recipe: the one asked for, with the frame, head and matching of the run.

        keep: the share of the similarity that stays that of the recipe asked for. Raises InputError
        where the run is of another recipe.
        """
        own = self.record.recipe
        if asked.name != own.name:
            raise InputError(f"{self.path} was trained for recipe {own.name}, not {asked.name}")
        if _seen(asked) != _seen(own):
            raise InputError(
                f"{self.path} was trained on other backbones or taps than recipe {asked.name} has "
                "now; train again"
            )
        if not keep:
            return own
        fused = asked.normalise if asked.normalise != "none" else "backbone"
        return Recipe.model_validate(own.model_dump() | {"keep": keep, "normalise": fused})

    def check(self, weights: Mapping[str, Weights]) -> None:
        """Raise GeoAwareError for weights other than those the head was trained on."""
        trained_on = self.record.weights
        for part in sorted({*trained_on, *weights} - {self.name}):
            was, found = trained_on.get(part), weights.get(part)
            if was is None:
                assert found
                raise GeoAwareError(
                    f"{self.path} was trained without {part} weights, not with "
                    f"{_described(found)}; leave them out, or train again"
                )
            if found is None or _identity(was) != _identity(found):
                instead = f", not {_described(found)}" if found else ""
                source = "FILE" if was.source.startswith(LOCAL) else was.source
                raise GeoAwareError(
                    f"{self.path} was trained on the {part} weights {_described(was)}{instead}; "
                    f"name those: --weights {shlex.quote(f'{part}={source}')}, or train again"
                )


def read(path: Path) -> HeadRun:
    """The run in a folder with its best checkpoint, or with the checkpoint named in it.

    Raises InputError where there is none, GeoAwareError for one that cannot be used.
    """
    path = path.expanduser()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    folder = path if path.is_dir() else path.parent
    if not (folder / RECORD).is_file():
        raise InputError(f"{folder}: no run of geotrain head ({RECORD} is missing)")
    checkpoint = folder / BEST if path.is_dir() else path
    if checkpoint.suffix != ".safetensors":
        raise InputError(f"{path}: no checkpoint; name the run's folder, or a .safetensors in it")
    if not checkpoint.is_file():
        raise GeoAwareError(
            f"{folder}: holds no {BEST}: it was not validated yet; "
            f"name another checkpoint, such as {folder / 'last.safetensors'}"
        )
    return HeadRun(path, checkpoint, _record(folder / RECORD))


def _record(path: Path) -> RunRecord:
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        if backbone := _fine_tuned(path):
            weights = shlex.quote(f"{backbone}={path.with_name(BEST)}")
            raise InputError(
                f"{path.parent}: a run of geotrain finetune; build with --weights {weights}"
            ) from None
        raise GeoAwareError(
            f"{path}: no run of geotrain head that this version can use ({first_problem(error)})"
        ) from None


def _fine_tuned(path: Path) -> str | None:
    """The backbone whose weights a run of geotrain finetune began from; None for other runs."""
    try:
        return next(iter(_FinetuneRecord.model_validate_json(path.read_bytes()).weights))
    except ValidationError:
        return None


def _seen(recipe: Recipe) -> list[BackboneUse]:
    """What a recipe sees an image with, whatever the frame's side."""
    return [use.model_copy(update={"side": None}) for use in recipe.backbones]


def _identity(weights: TrainedOn | Weights) -> str:
    return weights.sha256 or weights.source


def _described(weights: TrainedOn | Weights) -> str:
    return weights.source + (f" (sha256 {weights.sha256[:16]}…)" if weights.sha256 else "")
