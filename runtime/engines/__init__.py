"""Engines: what runs a model of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from numpy.typing import NDArray

from ..manifest import EngineRecord, Model

if TYPE_CHECKING:
    from ...kernels.cuda.arrays import DeviceArray
    from ...kernels.cuda.gpu import Gpu

Device = Literal[
    "auto",
    "cpu",
    "openvino",
    "openvino-bf16",
    "cuda",
    "onnxruntime-tensorrt",
    "tensorrt",
    "tensorrt-rtx",
]
# What computes with the processor, in its memory.
HOST: tuple[Device, ...] = ("cpu", "openvino", "openvino-bf16")
Tensors = Mapping[str, NDArray[Any]]


class Engine(Protocol):
    """A model, loaded and ready, that takes and gives arrays of the host."""

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Compute every output from the inputs, both by name; several threads may call it."""


class DeviceEngine(Protocol):
    """A model on the GPU, for one thread at a time.

    All its work goes to the device's one stream, so another set of its buffers for another thread
    would take memory and run no sooner.
    """

    @property
    def model(self) -> Model:
        """What the manifest says of it."""

    @property
    def batches(self) -> tuple[int, ...] | None:
        """The batch sizes it takes, ascending; None where it takes any. See `runs.runs`."""

    def run(self, inputs: Mapping[str, DeviceArray]) -> dict[str, DeviceArray]:
        """Compute every output from the inputs, both by name, in the device's stream.

        The outputs belong to the engine: its next run writes them again.

        Raises InputError for inputs of another shape or dtype, or of a batch size that it does not
        take, GeoAwareError where the GPU refuses.
        """


def open_engine(
    folder: Path,
    model: Model,
    device: Device,
    threads: int | None = None,
    record: EngineRecord | None = None,
) -> Engine:
    """Load a model of the bundle in a folder, on a device other than `auto`.

    threads: CPU threads that one run may use; None for all cores.
    record: for `tensorrt` and `tensorrt-rtx`, the engine of `choice.choose`.

    Raises GeoAwareError where the model does not fit, or the device has no engine for it: there is
    no silent fallback.
    """
    if device == "cpu":
        from .onnxruntime import OnnxRuntimeEngine

        return OnnxRuntimeEngine(folder, model, threads)
    if device in ("openvino", "openvino-bf16"):
        from .openvino import OpenVinoEngine

        return OpenVinoEngine(folder, model, threads, bfloat16=device == "openvino-bf16")
    from .gpu import current
    from .on_host import OnHost

    gpu = current()
    return OnHost(open_on_device(folder, model, device, gpu, record), gpu)


def open_on_device(
    folder: Path, model: Model, device: Device, gpu: Gpu, record: EngineRecord | None = None
) -> DeviceEngine:
    """Load a model of the bundle in a folder on a GPU; arguments and errors as in `open_engine`."""
    if device in ("cuda", "onnxruntime-tensorrt"):
        from .onnxruntime_gpu import OnnxRuntimeGpuEngine, cache_folder

        cache = cache_folder(model, gpu) if device == "onnxruntime-tensorrt" else None
        return OnnxRuntimeGpuEngine(folder, model, gpu, cache)
    from .tensorrt import TensorRTEngine

    if record is None or record.kind != device:
        raise ValueError(f"device {device!r} needs the record of an engine of its kind")
    return TensorRTEngine.of(folder, model, record, gpu)
