"""ONNX models on the CPU, by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from ..errors import GeoAwareError, first_line
from ..manifest import Model
from . import Tensors

LARGE_BYTES = 100_000_000


class OnnxRuntimeEngine:
    """A session on the CPU. `run` may be called from several threads at once."""

    def __init__(self, folder: Path, model: Model, threads: int | None = None) -> None:
        """Load a model's graph and the external weights beside it.

        Raises GeoAwareError where onnxruntime cannot load it, or where its inputs and outputs
        are not those of the manifest.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        # The arena grows in powers of two: for large tensors it takes far more than they need.
        small = sum(file.bytes for file in model.files) < LARGE_BYTES
        options.enable_cpu_mem_arena = options.enable_mem_pattern = small
        self.session = open_session(folder, model, options, ["CPUExecutionProvider"])
        self.outputs = [tensor.name for tensor in model.outputs]

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Compute every output from the inputs, both by name."""
        return dict(zip(self.outputs, self.session.run(self.outputs, dict(inputs)), strict=True))


def open_session(
    folder: Path, model: Model, options: onnxruntime.SessionOptions, providers: Sequence[Any]
) -> onnxruntime.InferenceSession:
    """A session with a model of the bundle in a folder; errors as in `OnnxRuntimeEngine`."""
    graph = folder / model.files[0].name
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise GeoAwareError(
            f"{graph}: onnxruntime {onnxruntime.__version__} cannot load it: {first_line(error)}"
        ) from None
    for what, listed, own in (
        ("inputs", model.inputs, session.get_inputs()),
        ("outputs", model.outputs, session.get_outputs()),
    ):
        if [(each.name, each.shape) for each in listed] != [
            (each.name, tuple(each.shape)) for each in own
        ]:
            raise GeoAwareError(f"{graph}: its {what} are not those of the manifest")
    return session
