"""Whether an engine of a bundle may run on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..bundle import Bundle
from ..errors import GeoAwareError
from ..manifest import EngineRecord
from . import tensorrt_module
from .gpu import architecture
from .tensorrt_module import version_numbers

if TYPE_CHECKING:
    from ...kernels.cuda.gpu import Gpu


def check_fit(record: EngineRecord, bundle: Bundle, gpu: Gpu) -> None:
    """Raise GeoAwareError, with the reason and the command to run, for an engine not to use here.

    It must run here, as `check_runs`, and be proved.
    """
    check_runs(record, bundle, gpu)
    if record.parity is None:
        raise GeoAwareError(
            f"{bundle.path}: its {record.kind} engine was built without a GPU and never compared "
            f"with PyTorch; prove it here: {bundle.prove_command()}"
        )


def check_runs(record: EngineRecord, bundle: Bundle, gpu: Gpu) -> None:
    """Raise GeoAwareError, as `check_fit`, for an engine that does not run here.

    It must be of the version of TensorRT that is installed, for this GPU, and unchanged.
    """
    module = tensorrt_module.load(record.kind)
    if reason := _other_version(record, module.__version__) or other_gpu(record, gpu):
        raise GeoAwareError(
            f"{bundle.path}: its {record.kind} engine {reason}; "
            f"build it again: {bundle.engine_command(record)}"
        )
    bundle.verify_engine(record)


def other_gpu(record: EngineRecord, gpu: Gpu) -> str | None:
    """What is wrong where an engine is not for this GPU.

    TensorRT times kernels on the GPU it builds on, so an engine is for that model of GPU; one of
    TensorRT-RTX is for an architecture.
    """
    here = architecture(gpu)
    if record.options.hardware_compatible:
        if gpu.compute_capability >= (8, 0):
            return None
        return f"is for compute capability 8.0 and later, and this is {gpu.name} ({here})"
    if record.compute_capability != here:
        return f"is for compute capability {record.compute_capability}, and this is {here}"
    if record.kind == "tensorrt" and record.gpu != gpu.name:
        return f"is for {record.gpu}, and this is {gpu.name}"
    return None


def _other_version(record: EngineRecord, installed: str) -> str | None:
    if record.version == installed:
        return None
    later = version_numbers(installed) >= version_numbers(record.version)
    if record.options.version_compatible and later:
        return None
    return f"was built by version {record.version}, and {installed} is installed"
