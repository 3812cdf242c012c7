"""What a user asks to be built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..runtime.bundle import home
from ..runtime.errors import GeoAwareError
from ..runtime.manifest import Manifest, Precision
from ..runtime.recipe import Recipe
from .weights import Weights

DEFAULT_OPSET = 20


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
    opset: int = DEFAULT_OPSET
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

    def check_same(self, weights: Mapping[str, Weights], manifest: Manifest) -> None:
        """Raise GeoAwareError where a bundle with this manifest is not what is asked for."""
        stored_as = "fp16" if self.compact else self.precision
        differences = [
            what
            for what, there, asked in (
                ("recipe", manifest.recipe, self.recipe),
                ("precision", manifest.precision, self.precision),
                ("stored weights", manifest.models[0].stored_as, stored_as),
                ("opset", manifest.models[0].opset, self.opset),
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
                f"{self.target}: the bundle there differs in {' and '.join(differences)}; "
                "replace it with --force or name another place with --out"
            )
