"""Engines: what runs a model of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from ..errors import InputError
from ..manifest import Model

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
Tensors = Mapping[str, NDArray[Any]]


class Engine(Protocol):
    """A model, loaded and ready."""

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Compute every output from the inputs, both by name."""


def choose_device(device: Device) -> Device:
    """The device to run on; `auto` is the CPU in this version.

    Raises InputError for a device that this version has no engine for: there is no silent
    fallback.
    """
    if device not in ("auto", "cpu"):
        raise InputError(f"device {device!r} has no engine in this version yet; use cpu")
    return "cpu"


def open_engine(folder: Path, model: Model, device: Device, threads: int | None = None) -> Engine:
    """Load a model of the bundle in a folder. Raises GeoAwareError where it does not fit.

    threads: CPU threads that one run may use; None for all cores.
    """
    choose_device(device)
    from .onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(folder, model, threads)
