"""Choosing what runs a bundle's models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from ..bundle import FUSED_ATTENTION_OPSET, Bundle
from ..errors import GeoAwareError, InputError, first_line
from ..machine import version_of
from ..manifest import EngineKind, EngineRecord, Manifest
from . import Device
from .fit import check_fit
from .gpu import NoGpuError, ready

if TYPE_CHECKING:
    from ...kernels.cuda.gpu import Gpu

KINDS: tuple[EngineKind, ...] = get_args(EngineKind)


@dataclass(frozen=True)
class Choice:
    """What runs a bundle's models.

    device: never `auto`. record: the engine, for `tensorrt` and `tensorrt-rtx`.
    passed_over: why `auto` did not choose what would be faster, a line each.
    """

    device: Device
    record: EngineRecord | None = None
    passed_over: tuple[str, ...] = ()


def choose(device: Device, bundle: Bundle | None = None) -> Choice:
    """What runs a bundle's models on the device asked for.

    `auto` is an engine of the bundle that fits this GPU, else onnxruntime on the GPU, else what is
    fastest on the CPU; whatever is broken, it never raises. Any other device is that device. A GPU
    is chosen only where it runs the kernels that match.

    Raises GeoAwareError, with the reason and how to mend it, where a device cannot be used, and
    InputError for an engine that the bundle does not have.
    """
    if device not in get_args(Device):
        raise InputError(f"no device {device!r}; use one of {', '.join(get_args(Device))}")
    if device == "cpu":
        return Choice("cpu")
    if device == "openvino":
        _check_openvino()
        if bundle and bundle.manifest.precision == "int8":
            raise InputError(
                f"{bundle.path}: is int8, which OpenVINO rounds in a way that its build has not "
                "proved; use --device cpu"
            )
        return Choice("openvino")
    if device == "openvino-bf16":
        _check_bfloat16(bundle)
        return Choice("openvino-bf16")
    if device == "auto":
        return _automatic(bundle)
    if device == "cuda" or device == "onnxruntime-tensorrt":
        ready()
        _check_provider(device)
        return Choice(device)
    if bundle is None:
        raise InputError(f"device {device!r} runs the engines of a bundle; name a bundle")
    _check_built(device, bundle)
    return Choice(device, _fitting(device, bundle, ready()))


def _automatic(bundle: Bundle | None) -> Choice:
    passed_over: list[str] = []
    try:
        gpu = ready()
    except NoGpuError:
        return _on_cpu(bundle)
    except Exception as error:
        return _on_cpu(bundle, first_line(error))
    for kind in KINDS:
        if bundle and any(record.kind == kind for record in bundle.manifest.engines):
            try:
                return Choice(kind, _fitting(kind, bundle, gpu), tuple(passed_over))
            except Exception as error:
                passed_over.append(first_line(error))
    try:
        _check_provider("cuda")
    except Exception as error:
        return _on_cpu(bundle, *passed_over, first_line(error))
    return Choice("cuda", passed_over=tuple(passed_over))


def _on_cpu(bundle: Bundle | None, *passed_over: str) -> Choice:
    if not bundle or not _suits_openvino(bundle.manifest) or not version_of("openvino"):
        return Choice("cpu", passed_over=passed_over)
    try:
        _check_openvino()
    except GeoAwareError as error:
        return Choice("cpu", passed_over=(*passed_over, str(error)))
    if bundle.manifest.bfloat16:
        try:
            _check_bfloat16(bundle)
        except GeoAwareError as error:
            return Choice("openvino", passed_over=(*passed_over, str(error)))
        return Choice("openvino-bf16", passed_over=passed_over)
    return Choice("openvino", passed_over=passed_over)


def _suits_openvino(manifest: Manifest) -> bool:
    """Whether OpenVINO is faster than onnxruntime, as docs/performance.md measures it.

    It is for transformers, and at fp16, where onnxruntime converts to and fro. It is not for
    fp32 convolutions, which gain nothing for its slower start, nor at int8, where its results are
    not those that the build has proved.
    """
    if manifest.precision == "fp32":
        return all(model.opset >= FUSED_ATTENTION_OPSET for model in manifest.models)
    return manifest.precision == "fp16"


def _check_openvino() -> None:
    from .openvino import load

    load()


def _check_bfloat16(bundle: Bundle | None) -> None:
    """Raise GeoAwareError where the processor has no bfloat16, or nobody proved the bundle in it.

    Without a bundle, the processor alone is looked at.
    """
    from .openvino import has_bfloat16

    if not has_bfloat16():
        raise GeoAwareError("this processor does not compute in bfloat16; use --device openvino")
    if bundle and not bundle.manifest.bfloat16:
        raise GeoAwareError(
            f"{bundle.path}: was not proved in bfloat16{_proof(bundle)}, or use --device openvino"
        )


def _proof(bundle: Bundle) -> str:
    """How to prove a bundle in bfloat16."""
    if bundle.manifest.precision != "fp16":
        return f", which is for fp16 models and not {bundle.manifest.precision}; build one (--fp16)"
    return f"; its build says whether it holds there: {bundle.build_command()} --force"


def _check_built(kind: EngineKind, bundle: Bundle) -> None:
    if all(record.kind != kind for record in bundle.manifest.engines):
        raise InputError(bundle.no_engine(kind))


def _fitting(kind: EngineKind, bundle: Bundle, gpu: Gpu) -> EngineRecord:
    """The bundle's engine of a kind that fits a GPU, one built on such a GPU before others.

    Raises GeoAwareError with what is wrong with the first of them.
    """
    records = [record for record in bundle.manifest.engines if record.kind == kind]
    records.sort(key=lambda record: (record.gpu != gpu.name, record.options.hardware_compatible))
    problems = []
    for record in records:
        try:
            check_fit(record, bundle, gpu)
        except GeoAwareError as error:
            problems.append(error)
        else:
            return record
    raise problems[0]


def _check_provider(device: Device) -> None:
    from .onnxruntime_gpu import CUDA, TENSORRT, check_provider

    check_provider(CUDA if device == "cuda" else TENSORRT)
