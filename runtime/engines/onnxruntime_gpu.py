"""ONNX models on the GPU, by onnxruntime's CUDA and TensorRT providers."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime

from ..bundle import home
from ..errors import GeoAwareError, first_line
from ..manifest import Model
from .buffers import allocated, batch_of
from .gpu import architecture
from .onnxruntime import open_session

if TYPE_CHECKING:
    from ...kernels.cuda.arrays import DeviceArray
    from ...kernels.cuda.gpu import Gpu

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"

# Without TensorFloat-32, which rounds the factors of a product to 10 bits: fp32 means fp32.
CUDA_OPTIONS = {"use_tf32": "0"}

# What onnxruntime calls the memory that arrays are bound in.
MEMORY = "cuda"


# The least that is a model: y = x, one float.
IDENTITY = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01g'
    b"Z\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01"
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)


def check_provider(provider: str) -> None:
    """Raise GeoAwareError where onnxruntime lacks a provider, or it does not start."""
    if provider not in onnxruntime.get_available_providers():
        raise GeoAwareError(
            f"onnxruntime {onnxruntime.__version__} has no {provider}: "
            "pip uninstall -y onnxruntime; pip install onnxruntime-gpu"
        )
    with redirect_stdout(sys.stderr):  # where it prints what it could not find
        onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(IDENTITY, options, providers=[provider])
        # It falls back to the CPU without a word where one of CUDA's libraries is missing.
        if provider in session.get_providers():
            return
        reason = "its CUDA or cuDNN is missing"
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = first_line(error)
    raise GeoAwareError(
        f"onnxruntime {onnxruntime.__version__}: {provider} does not start: {reason}; "
        'pip install "onnxruntime-gpu[cuda,cudnn]"'
    )


def cache_folder(model: Model, gpu: Gpu) -> Path:
    """Where onnxruntime's TensorRT provider keeps the engines of a model.

    They hold for one model, onnxruntime and GPU; the provider adds TensorRT's own version.
    """
    key = [file.sha256 for file in model.files]
    key += [onnxruntime.__version__, gpu.name, architecture(gpu)]
    name = hashlib.sha256("\n".join(key).encode()).hexdigest()[:16]
    return home().parent / "onnxruntime-tensorrt" / name


class OnnxRuntimeGpuEngine:
    """A session whose inputs and outputs stay on the GPU; takes any batch size.

    cache: a folder for the engines of onnxruntime's own TensorRT provider, which then runs what it
    can; it builds them at the first run of each batch size, and nothing proves them. None for the
    CUDA provider.
    """

    batches: tuple[int, ...] | None = None

    def __init__(self, folder: Path, model: Model, gpu: Gpu, cache: Path | None = None) -> None:
        """Load a model's graph. Raises GeoAwareError where the provider does not take it."""
        self.model, self.gpu = model, gpu
        providers: list[Any] = [(CUDA, CUDA_OPTIONS)]
        if cache:
            cache.mkdir(parents=True, exist_ok=True)
            providers.insert(0, (TENSORRT, _tensorrt_options(model, cache)))
        wanted = providers[0][0]
        check_provider(wanted)
        self.session = open_session(folder, model, onnxruntime.SessionOptions(), providers)
        self.session.disable_fallback()
        if wanted not in self.session.get_providers():
            raise GeoAwareError(
                f"{model.files[0].name}: onnxruntime fell back from {wanted} on {gpu.name}; "
                "use --device cpu"
            )

        self._outputs: dict[int, dict[str, DeviceArray]] = {}

    def worker(self) -> OnnxRuntimeGpuEngine:
        """Outputs of its own. See `DeviceEngine.worker`."""
        other = copy(self)
        other._outputs = {}
        return other

    def run(self, inputs: Mapping[str, DeviceArray]) -> dict[str, DeviceArray]:
        """Compute every output. See `DeviceEngine.run`.

        onnxruntime has a stream of its own: this waits for the device's before, and for
        onnxruntime's after.
        """
        batch = batch_of(self.model, inputs)
        if batch not in self._outputs:
            self._outputs[batch] = allocated(self.model, batch, self.gpu)
        outputs = self._outputs[batch]
        binding = self._bound(inputs, outputs)
        self.gpu.stream.synchronize()
        try:
            self.session.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise GeoAwareError(
                f"{self.model.files[0].name}: onnxruntime {onnxruntime.__version__} cannot run "
                f"it: {first_line(error)}"
            ) from None
        return outputs

    def _bound(self, inputs: Mapping[str, DeviceArray], outputs: Mapping[str, DeviceArray]) -> Any:
        binding = self.session.io_binding()
        for tensor in self.model.inputs:
            each = inputs[tensor.name]
            binding.bind_input(tensor.name, MEMORY, 0, each.dtype.type, each.shape, each.pointer)
        for name, each in outputs.items():
            binding.bind_output(name, MEMORY, 0, each.dtype.type, each.shape, each.pointer)
        return binding


def _tensorrt_options(model: Model, cache: Path) -> dict[str, str]:
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
        # Half precision is refused without it; norms, which overflow in half, are kept out of it.
        "trt_fp16_enable": "1" if model.precision == "fp16" else "0",
        "trt_layer_norm_fp32_fallback": "1",
    }
