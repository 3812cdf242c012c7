"""ONNX models on the CPU, by OpenVINO."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GeoAwareError, first_line
from ..manifest import Model, Tensor
from . import Tensors
from .buffers import batch_of, shape_of

# What openvino imports to send word of its import to its makers; it does without.
TELEMETRY = "openvino_telemetry"

OLDEST = (2026, 1)  # that knows the attention of ONNX, which the models have

SETTINGS = {
    "PERFORMANCE_HINT": "LATENCY",
    # A thread bound to a core waits for what else runs there while another core is idle.
    "ENABLE_CPU_PINNING": False,
}


@cache
def load() -> Any:
    """OpenVINO, which sends nothing where this is what imports it.

    Raises GeoAwareError where it is not installed, cannot be imported, or is too old.
    """
    openvino = _imported()
    numbers = re.match(r"(\d+)\.(\d+)", openvino.__version__)
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise GeoAwareError(f'openvino {numbers[0]} is too old: pip install "openvino>={oldest}"')
    return openvino


def _imported() -> Any:
    known = TELEMETRY in sys.modules
    if not known:
        sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # importing it fails
    try:
        return import_module("openvino")
    except Exception as error:  # its libraries fail in their own ways
        if isinstance(error, ModuleNotFoundError) and error.name == "openvino":
            raise GeoAwareError(
                'openvino is not installed: pip install "geoaware[openvino]"'
            ) from None
        raise GeoAwareError(f"openvino cannot be imported: {first_line(error)}") from None
    finally:
        if not known:
            sys.modules.pop(TELEMETRY, None)  # another thread may have done so


def has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16 by itself.

    Raises as `load`, and GeoAwareError where OpenVINO cannot compute on it at all.
    """
    openvino = load()
    try:
        return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except RuntimeError as error:
        raise GeoAwareError(
            f"OpenVINO does not run on this processor: {_reason(error)}; use --device cpu"
        ) from None


class OpenVinoEngine:
    """A model, compiled for one image at a time; the images of a batch follow one another.

    A fixed shape runs faster than a free one, and one batch size takes the memory of one. `run`
    may be called from several threads at once.
    """

    def __init__(
        self, folder: Path, model: Model, threads: int | None = None, *, bfloat16: bool = False
    ) -> None:
        """Load a model's graph and the external weights beside it.

        threads: as in `open_engine`; as many runs at once as fill the cores. bfloat16: compute in
        it, where the processor can; else in fp32.

        Raises GeoAwareError where OpenVINO is missing or cannot load it, or where its inputs and
        outputs are not those of the manifest; InputError where more than its batch is free.
        """
        self._model, self._graph = model, folder / model.files[0].name
        self._openvino = load()
        core = self._openvino.Core()
        with self._told("load"):
            graph = core.read_model(self._graph)
        self._check(graph)
        # Left to itself it computes fp32 models in bfloat16, too.
        precision = {"INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32"}
        with self._told("load"):
            graph.reshape({tensor.name: shape_of(tensor, 1) for tensor in model.inputs})
            settings = SETTINGS | precision | _share(threads)
            self._compiled = core.compile_model(graph, "CPU", settings)
        self._idle: list[Any] = []  # requests that no thread uses

    @property
    def threads(self) -> int:
        """CPU threads that one run uses."""
        everywhere = int(self._compiled.get_property("INFERENCE_NUM_THREADS"))
        return everywhere // int(self._compiled.get_property("NUM_STREAMS"))

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Compute every output from the inputs, both by name.

        Raises InputError for inputs of another shape or dtype, GeoAwareError where OpenVINO fails.
        """
        made = [
            self._single({name: array[i : i + 1] for name, array in inputs.items()})
            for i in range(batch_of(self._model, inputs))
        ]
        if len(made) == 1:
            return made[0]
        return {name: np.concatenate([each[name] for each in made]) for name in made[0]}

    def _single(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The outputs, copied, so that the next run with the same request leaves them alone."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        with self._told("run"):
            results = request.infer(inputs, share_inputs=True)
        self._idle.append(request)
        return {tensor.name: results[tensor.name] for tensor in self._model.outputs}

    def _check(self, graph: Any) -> None:
        for what, listed, own in (
            ("inputs", self._model.inputs, graph.inputs),
            ("outputs", self._model.outputs, graph.outputs),
        ):
            expected = [(each.name, self._shape(each)) for each in listed]
            if len(expected) != len(own) or any(
                name not in port.names or not shape.compatible(port.partial_shape)
                for (name, shape), port in zip(expected, own, strict=True)
            ):
                raise GeoAwareError(f"{self._graph}: its {what} are not those of the manifest")

    def _shape(self, tensor: Tensor) -> Any:
        lengths = [length if isinstance(length, int) else -1 for length in tensor.shape]
        return self._openvino.PartialShape(lengths)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Raise what OpenVINO raises in here as GeoAwareError; it knows no other exception."""
        try:
            yield
        except RuntimeError as error:
            raise GeoAwareError(
                f"{self._graph}: OpenVINO {self._openvino.__version__} cannot {what} it: "
                f"{_reason(error)}; use --device cpu"
            ) from None


def _share(threads: int | None) -> dict[str, int]:
    """Streams of so many threads each, together as many as there are cores.

    For all cores nothing is set: with their number given, it is slower than left to itself.
    """
    cores = os.cpu_count() or 1
    if threads is None or threads == cores:
        return {}
    streams = max(1, cores // threads)
    return {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams * threads}


def _reason(error: RuntimeError) -> str:
    """The first line that does not say where in OpenVINO's source an exception passed."""
    where = ("Exception from", "Check '", "FrontEnd API failed with")
    lines = [line for line in str(error).splitlines() if not line.startswith(where)]
    return first_line(RuntimeError("\n".join(lines)))
