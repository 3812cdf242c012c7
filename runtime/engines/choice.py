"""Choosing what runs a bundle's models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from ..bundle import Bundle
from ..errors import GeoAwareError, InputError, first_line
from ..manifest import EngineKind, EngineRecord
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

    `auto` is an engine of the bundle that fits this GPU, else onnxruntime on the GPU, else on the
    CPU; whatever is broken about a GPU, it never raises. Any other device is that device. A GPU is
    chosen only where it runs the kernels that match.

    Raises GeoAwareError, with the reason and how to mend it, where a device cannot be used, and
    InputError for an engine that the bundle does not have.
    """
    if device not in get_args(Device):
        raise InputError(f"no device {device!r}; use one of {', '.join(get_args(Device))}")
    if device == "cpu":
        return Choice("cpu")
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
        return Choice("cpu")
    except Exception as error:
        return Choice("cpu", passed_over=(first_line(error),))
    for kind in KINDS:
        if bundle and any(record.kind == kind for record in bundle.manifest.engines):
            try:
                return Choice(kind, _fitting(kind, bundle, gpu), tuple(passed_over))
            except Exception as error:
                passed_over.append(first_line(error))
    try:
        _check_provider("cuda")
    except Exception as error:
        return Choice("cpu", passed_over=(*passed_over, first_line(error)))
    return Choice("cuda", passed_over=tuple(passed_over))


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
