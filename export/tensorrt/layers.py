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
WORDS = {
    "bf16": ("bf16", "bfloat16"),
    "fp16": ("half", "fp16"),
    "int8": ("int8",),
    "fp32": ("float", "fp32"),
}

# The least share of an fp16 engine's layers that must take or give fp16: fused norms are few.
LEAST_HALF = 0.5


def count_layers(information: str, precision: Precision) -> dict[str, int]:
    """How many layers an engine of a precision has of each type, from its inspector's JSON.

    A layer of an fp32 engine is of the type that it gives: it may take weights that are stored as
    fp16. In an fp16 engine one that takes or gives anything of fp16 is fp16, as norms and sums in
    fp32 are fused with what surrounds them. One without any floating point counts as "other".

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
    types = Counter(_type(layer, given_only=precision == "fp32") for layer in computing)
    return dict(sorted(types.items()))


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


def _type(layer: Mapping[str, Any], given_only: bool) -> str:
    tensors = [*layer.get("Outputs", []), *([] if given_only else layer.get("Inputs", []))]
    formats = " ".join(map(_format, tensors)).lower()
    for name, words in WORDS.items():
        if any(word in formats for word in words):
            return name
    return "other"


def _format(tensor: Mapping[str, Any]) -> str:
    """The words that tell a tensor's type: in the field of its format in TensorRT 10.

    In 11 the type has a field of its own, and the format's words may be of another.
    """
    own = next((value for key, value in tensor.items() if key.lower() == "datatype"), None)
    if own:
        return str(own)
    return " ".join(str(tensor[key]) for key in ("Format/Datatype", "Format") if key in tensor)
