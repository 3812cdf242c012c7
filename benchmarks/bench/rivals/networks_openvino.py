"""A bundle's ONNX model in OpenVINO as it comes, for latency."""

from __future__ import annotations

from typing import cast

from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.doctor import require
from geoaware.runtime.engines.openvino import has_bfloat16, load
from geoaware.runtime.errors import first_line

from .networks import Float32, Network, only_model


def on_cpu(bundle: Bundle, threads: int) -> Network:
    """fp16 models in bfloat16, where the processor has it; others in fp32 but for what is int8."""
    graph = bundle.file(only_model(bundle).files[0].name)
    require("openvino", "OpenVINO as a rival")
    # As `import openvino`, but it sends its makers no word of it.
    openvino = load()
    in_bfloat16 = bundle.manifest.precision == "fp16" and has_bfloat16()

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if in_bfloat16 else "f32",
    }
    try:
        model = openvino.Core().compile_model(graph, "CPU", settings)
    except RuntimeError as error:
        raise GeoAwareError(f"cannot load it: {first_line(error)}") from None
    request = model.create_infer_request()

    def run(frames: Float32) -> Float32:
        made = request.infer({"image": frames}, share_inputs=True, share_outputs=True)
        return cast(Float32, made["descriptors"])

    return run
