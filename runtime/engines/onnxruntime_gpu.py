"""ONNX models on the GPU, by onnxruntime's CUDA and TensorRT providers."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime

from ..bundle import home
from ..errors import GeoAwareError, first_line
from ..manifest import Model
from .buffers import allocated, batch_of, first_rows
from .gpu import architecture
from .onnxruntime import open_session
from .out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from ...kernels.cuda.arrays import DeviceArray
    from ...kernels.cuda.gpu import Gpu

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"

# Without TensorFloat-32, which rounds the factors of a product to 10 bits: fp32 means fp32.
CUDA_OPTIONS = {"use_tf32": "0"}

# What onnxruntime calls the memory that arrays are bound in.
MEMORY = "cuda"

# NVIDIA's libraries read it where nobody tells them whether to use TensorFloat-32.
TF32_VARIABLE = "NVIDIA_TF32_OVERRIDE"

# The least that is a model: y = x, one float.
IDENTITY = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01g'
    b"Z\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01"
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)


@cache
def check_provider(provider: str) -> None:
    """Raise GeoAwareError where onnxruntime lacks a provider, or it does not start.

    What started once in a process is not tried again.
    """
    if provider not in onnxruntime.get_available_providers():
        raise GeoAwareError(
            f"onnxruntime {onnxruntime.__version__} has no {provider}: "
            "pip uninstall -y onnxruntime; pip install onnxruntime-gpu"
        )
    if not hasattr(onnxruntime, "preload_dlls"):
        raise GeoAwareError(
            f"onnxruntime {onnxruntime.__version__} is too old to run on a GPU here: "
            'pip install "onnxruntime-gpu[cuda,cudnn]>=1.21"'
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        _preload()
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


def _preload() -> None:
    """Load CUDA and cuDNN from where pip put them."""
    # It prints what it cannot find, and stdout is for results. Redirecting stdout would redirect
    # that of all threads.
    vars(onnxruntime)["print"] = partial(print, file=sys.stderr)
    onnxruntime.preload_dlls()


def cache_folder(model: Model, gpu: Gpu) -> Path:
    """Where onnxruntime's TensorRT provider keeps the engines of a model.

    They hold for one model, onnxruntime and GPU; the provider adds TensorRT's own version.
    """
    key = [file.sha256 for file in model.files]
    key += [onnxruntime.__version__, gpu.name, architecture(gpu)]
    key += [os.environ.get(TF32_VARIABLE, "")]
    name = hashlib.sha256("\n".join(key).encode()).hexdigest()[:16]
    return home().parent / "onnxruntime-tensorrt" / name


class OnnxRuntimeGpuEngine:
    """A session whose inputs and outputs stay on the GPU; takes any batch size.

    cache: a folder for the engines of onnxruntime's own TensorRT provider, which then runs what it
    can; it builds them at the first run of each batch size, and nothing proves them. It has no
    option against TensorFloat-32: they round the factors of fp32 products to 10 bits, unless
    NVIDIA_TF32_OVERRIDE=0 is in the environment. None for the CUDA provider.
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
        self.session = self._opened(folder, providers)
        self.session.disable_fallback()
        if wanted not in self.session.get_providers():
            raise GeoAwareError(
                f"{model.files[0].name}: onnxruntime fell back from {wanted} on {gpu.name}; "
                "use --device cpu"
            )
        self._outputs: dict[str, DeviceArray] = {}
        self._room = 0  # for how large a batch

    def run(self, inputs: Mapping[str, DeviceArray]) -> dict[str, DeviceArray]:
        """Compute every output. See `DeviceEngine.run`.

        onnxruntime has a stream of its own: this waits for the device's before, and for
        onnxruntime's after.
        """
        batch = batch_of(self.model, inputs)
        outputs = self._outputs_of(batch)
        binding = self._bound(inputs, outputs)
        self.gpu.stream.synchronize()
        try:
            self.session.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise GeoAwareError(
                f"{self.model.files[0].name}: onnxruntime {onnxruntime.__version__} cannot run "
                f"it: {first_line(error)}{self._advice(str(error))}"
            ) from None
        return outputs

    def _opened(self, folder: Path, providers: list[Any]) -> onnxruntime.InferenceSession:
        """A session; where memory runs out, with all that the GPU's pool keeps unused."""
        try:
            return open_session(folder, self.model, onnxruntime.SessionOptions(), providers)
        except GeoAwareError as error:
            if not is_out_of_memory(str(error)):
                raise
        self.gpu.trim()
        try:
            return open_session(folder, self.model, onnxruntime.SessionOptions(), providers)
        except GeoAwareError as error:
            raise GeoAwareError(f"{error}{self._advice(str(error))}") from None

    def _advice(self, message: str) -> str:
        if not is_out_of_memory(message):
            return ""
        return f"; {self.gpu.name} has too little free memory: end other programs on it"

    def _outputs_of(self, batch: int) -> dict[str, DeviceArray]:
        """Memory for the outputs: that of the largest batch so far, as far as it is needed."""
        if batch > self._room:
            self._outputs, self._room = {}, 0  # their memory may serve for the new ones
            self._outputs, self._room = allocated(self.model, batch, self.gpu), batch
        return {name: first_rows(array, batch) for name, array in self._outputs.items()}

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
