"""A bundle's ONNX model in onnxruntime as it comes."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import onnxruntime

from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.engines.onnxruntime_gpu import CUDA, CUDA_OPTIONS, TENSORRT, check_provider
from geoaware.runtime.errors import first_line

from .networks import Float32, Network, Opener, only_model


def on_cpu(bundle: Bundle, threads: int) -> Network:
    """Default options but for the number of threads."""
    return _opened("CPUExecutionProvider", bundle, threads)


def on_gpu() -> dict[str, Opener]:
    """The providers of a GPU; the TensorRT provider may compute fp32 in TF32, CUDA's may not."""
    return {
        "onnxruntime CUDA": partial(_opened, CUDA),
        "onnxruntime TensorRT": partial(_opened, TENSORRT),
    }


def _opened(provider: str, bundle: Bundle, threads: int) -> Network:
    graph = bundle.file(only_model(bundle).files[0].name)
    providers: list[Any] = [provider]
    if provider in (CUDA, TENSORRT):
        check_provider(provider)
        providers = [(CUDA, CUDA_OPTIONS)] if provider == CUDA else [TENSORRT, (CUDA, CUDA_OPTIONS)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise GeoAwareError(f"cannot load it: {first_line(error)}") from None
    if session.get_providers()[0] != provider:
        raise GeoAwareError(f"has put it on the CPU; {provider} does not work here")

    def run(frames: Float32) -> Float32:
        return cast(Float32, session.run(["descriptors"], {"image": frames})[0])

    return run
