"""What an engine computes in: counted from what its inspector tells, and checked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ...runtime.errors import GeoAwareError, first_line
from ...runtime.manifest import Precision
from ..verify import LEAST_SHARE, ParityError

# Layers that only move data: what type it has says nothing of how the engine computes.
MOVES = ("Reformat", "NoOp", "Constant", "Shuffle", "Identity")

# Words of the inspector's formats ("Row major linear FP16 format", "Half"); the first that is found
# decides.
WORDS = {"fp16": ("half", "fp16"), "bf16": ("bf16",), "int8": ("int8",), "fp32": ("float", "fp32")}

# The least share of an fp16 engine's layers that must take or give fp16: fused norms are few.
LEAST_HALF = 0.5


def count_layers(information: str) -> dict[str, int]:
    """How many layers an engine has of each type, from its inspector's JSON.

    A layer that takes or gives anything of fp16 counts as fp16, as norms and sums in fp32 are
    fused with what surrounds them; one without any floating point, as "other".

    Raises GeoAwareError where the inspector tells no types, as it does of engines that were built
    without detailed profiling.
    """
    try:
        layers = json.loads(information)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise GeoAwareError(f"the engine inspector's words: {first_line(error)}") from None
    computing = [each for each in layers if not _moves(each)]
    if not computing or any(isinstance(each, str) for each in computing):
        raise GeoAwareError("the engine inspector does not tell the layers' types")
    return dict(sorted(Counter(map(_type, computing)).items()))


def check_network(model: str, types: Mapping[str, int], precision: Precision) -> None:
    """Raise ParityError for a network whose products are not of the precision asked for."""
    _check(model, types, precision, LEAST_SHARE[precision])


def check_layers(model: str, layers: Mapping[str, int], precision: Precision) -> None:
    """Raise ParityError for an engine whose layers are not of the precision asked for."""
    _check(model, layers, precision, LEAST_HALF if precision == "fp16" else 1.0)


def _check(model: str, types: Mapping[str, int], precision: Precision, least: float) -> None:
    floating = {name: count for name, count in types.items() if name != "other"}
    total = sum(floating.values())
    share = floating.get(precision, 0) / total if total else 1.0
    if share < least:
        told = ", ".join(f"{count} {name}" for name, count in floating.items())
        raise ParityError(f"{model}: only {share:.0%} of the engine is {precision} ({told})")


def _moves(layer: Any) -> bool:
    return isinstance(layer, dict) and layer.get("LayerType") in MOVES


def _type(layer: Mapping[str, Any]) -> str:
    formats = " ".join(_format(tensor) for tensor in layer["Inputs"] + layer["Outputs"]).lower()
    for name, words in WORDS.items():
        if any(word in formats for word in words):
            return name
    return "other"


def _format(tensor: Mapping[str, Any]) -> str:
    """One field in TensorRT 10, two in 11."""
    keys = [key for key in tensor if "datatype" in key.lower() or key == "Format"]
    return " ".join(str(tensor[key]) for key in keys)
