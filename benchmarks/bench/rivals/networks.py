"""Which networks stand beside ours: at equal precision, on the processor that ours runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.manifest import Model, Precision

Float32: TypeAlias = NDArray[np.float32]

# Frames (batch, 3, side, side) in [0, 1] to descriptors (batch, rows, columns, channels), both on
# the host. What is returned may be written again by the next call.
Network: TypeAlias = Callable[[Float32], Float32]
Opener: TypeAlias = Callable[[Bundle, int], Network]  # of a bundle, with so many CPU threads


def openers(precision: Precision, on_gpu: bool) -> dict[str, Opener]:
    """What opens each rival of a precision, by its name.

    An opener raises GeoAwareError where the rival is not installed or cannot run the bundle.
    PyTorch stands beside our fp32, and in bfloat16 beside our fp16; it has no equal of our int8.
    """
    from . import networks_onnxruntime as onnxruntime
    from . import networks_openvino as openvino
    from . import networks_pytorch as pytorch

    if on_gpu:
        return {} if precision == "int8" else pytorch.on_gpu(precision) | onnxruntime.on_gpu()
    rivals: dict[str, Opener] = {"onnxruntime": onnxruntime.on_cpu, "OpenVINO": openvino.on_cpu}
    if precision == "fp32":
        return {"PyTorch eager": pytorch.eager, "PyTorch compiled": pytorch.compiled} | rivals
    if precision == "fp16":
        return {"PyTorch eager bf16": pytorch.eager_bfloat16} | rivals
    return rivals


def only_model(bundle: Bundle) -> Model:
    """The model of a bundle that has one. Raises GeoAwareError for a bundle of several."""
    models = bundle.manifest.models
    if len(models) > 1:
        raise GeoAwareError(f"runs one network; {bundle.manifest.name} is {len(models)} in a chain")
    return models[0]
