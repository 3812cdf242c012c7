"""What a user asks to be built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..runtime.bundle import FUSED_ATTENTION_OPSET, home
from ..runtime.errors import GeoAwareError, InputError
from ..runtime.manifest import RANDOM, EngineKind, EngineOptions, Manifest, Precision
from ..runtime.recipe import NAME_PATTERN, Recipe
from .backbones import entry
from .head_run import HeadRun
from .parts import part_names
from .weights import Weights

PLAIN_OPSET = 20


@dataclass(frozen=True)
class EngineRequest:
    """Which engines to build beside the ONNX models.

    batches: the batch sizes they take, ascending.
    architecture: a compute capability such as "8.9" to build for without a GPU; None for the GPU of
    this machine.
    """

    kind: EngineKind
    batches: tuple[int, ...] = (1,)
    options: EngineOptions = field(default_factory=EngineOptions)
    architecture: str | None = None

    def check(self, precision: Precision) -> None:
        """Raise InputError for engines that cannot be."""
        if precision == "int8":
            raise InputError(
                "int8 is not offered for engines: these models are quantised for the CPU; "
                "build with --fp16"
            )
        if self.kind == "tensorrt" and self.architecture:
            raise InputError(
                "--for is for --engine tensorrt-rtx: TensorRT builds on the GPU that it builds for"
            )
        if self.kind == "tensorrt-rtx" and self.options.version_compatible:
            raise InputError(
                "--version-compatible is for --tensorrt: TensorRT-RTX reads engines of its own "
                "version only"
            )
        if self.kind == "tensorrt-rtx" and self.options.hardware_compatible:
            raise InputError(
                "--hardware-compatible is for --tensorrt: TensorRT-RTX builds for an "
                "architecture; name it with --for"
            )


@dataclass(frozen=True)
class Request:
    """What to build.

    weights: source of the weights (see `parts.resolve_all`) by part, where not the published ones.
    seed: of random weights for every part that `weights` does not name.
    frame: the side asked for, where it is not the recipe's own; `recipe` has it already.
    compact: store the weights of an fp32 model as fp16.
    asked_opset: the ONNX opset, where it is not the one that suits the recipe.
    engine: the engines to build beside the ONNX models.
    head: the run whose head to build; `recipe` is that run's.
    """

    recipe: Recipe
    precision: Precision = "fp32"
    compact: bool = False
    asked_opset: int | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    frame: int | None = None
    out: Path | None = None
    force: bool = False
    engine: EngineRequest | None = None
    head: HeadRun | None = None

    @property
    def name(self) -> str:
        """The recipe's name; then what differs: head, frame side, precision, random weights."""
        head = f"-{self.head.name}" if self.head else ""
        head += f"-keep{self.recipe.keep:g}" if self.recipe.keep else ""
        side = f"-{self.frame}px" if self.frame else ""
        precision = "" if self.precision == "fp32" else f"-{self.precision}"
        return self.recipe.name + head + side + precision + ("-random" if self._is_random() else "")

    @property
    def sources(self) -> dict[str, str]:
        """The sources of weights by part, the trained head's too."""
        head = {self.head.name: str(self.head.checkpoint)} if self.head else {}
        return {**self.weights, **head}

    @property
    def opset(self) -> int:
        """The ONNX opset: for transformers, the first with an operator for attention.

        For engines in fp32 it is the one without: not every TensorRT takes that operator in fp32.
        """
        if self.asked_opset is not None:
            return self.asked_opset
        if self.engine and self.precision == "fp32":
            return PLAIN_OPSET
        return FUSED_ATTENTION_OPSET if self._attends() else PLAIN_OPSET

    def _serves(self, opset: int) -> bool:
        """Whether models that are there at an opset need not be built at another."""
        if self.asked_opset is not None:
            return opset == self.asked_opset
        in_single = self.engine is not None and self.precision == "fp32" and self._attends()
        return not in_single or opset < FUSED_ATTENTION_OPSET

    def _attends(self) -> bool:
        return any(entry(use.name).attends for use in self.recipe.backbones)

    def _is_random(self) -> bool:
        named = any(source.startswith(RANDOM) for source in self.weights.values())
        return named or (
            self.seed is not None and bool({*part_names(self.recipe)} - {*self.sources})
        )

    @property
    def target(self) -> Path:
        """The folder the bundle is published to."""
        return (self.out or home() / self.name).expanduser().absolute()

    def check(self) -> None:
        """Raise InputError for a request that cannot be."""
        if not re.fullmatch(NAME_PATTERN, self.name):
            raise InputError(f"{self.name!r} is too long for the name of a bundle")
        if self.head and self.head.name in self.weights:
            raise InputError(
                f"--weights {self.head.name}=… and --head {self.head.path} exclude each other"
            )
        diffusing = [use.name for use in self.recipe.backbones if entry(use.name).diffuses]
        if self.precision == "int8" and diffusing:
            raise InputError(
                f"int8 is not offered for {diffusing[0]}: nothing shows that its features survive "
                "it; build it with --fp16"
            )
        if self.engine:
            self.engine.check(self.precision)

    def check_same(self, weights: Mapping[str, Weights], manifest: Manifest) -> None:
        """Raise GeoAwareError where a bundle with this manifest is not what is asked for."""
        stored_as = "fp16" if self.compact else self.precision
        opset = max(model.opset for model in manifest.models)
        differences = [
            what
            for what, there, asked in (
                ("recipe", manifest.recipe, self.recipe),
                ("precision", manifest.precision, self.precision),
                ("stored weights", manifest.models[0].stored_as, stored_as),
                ("opset", opset, opset if self._serves(opset) else self.opset),
                (
                    "weights",
                    {each.part: each.sha256 or each.source for each in manifest.weights},
                    {part: found.sha256 or found.source for part, found in weights.items()},
                ),
            )
            if there != asked
        ]
        if differences:
            raise GeoAwareError(
                f"{self.target}: the bundle there differs in {' and '.join(differences)}; "
                "replace it with --force or name another place with --out"
            )
