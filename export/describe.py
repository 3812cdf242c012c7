"""An ONNX file as the manifest describes it."""

from __future__ import annotations

from pathlib import Path

import onnx

from ..runtime.bundle import sha256_of
from ..runtime.manifest import File, Model, Precision, Tensor


def describe(file: Path, precision: Precision, stored_as: Precision) -> Model:
    """A graph and the external weights beside it: hashes, inputs, outputs, opset."""
    graph = onnx.load(file, load_external_data=False)
    beside = sorted(file.parent.glob(f"{file.name}.data"))
    return Model(
        files=tuple(
            File(name=each.name, sha256=sha256_of(each), bytes=each.stat().st_size)
            for each in (file, *beside)
        ),
        inputs=tuple(_tensor(value) for value in graph.graph.input),
        outputs=tuple(_tensor(value) for value in graph.graph.output),
        opset=next(
            entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx")
        ),
        precision=precision,
        stored_as=stored_as,
    )


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    return Tensor(
        name=value.name,
        shape=tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim),
        dtype=str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)),
    )
