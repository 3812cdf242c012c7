"""An ONNX file as the manifest describes it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx

from ..runtime.bundle import sha256_of
from ..runtime.manifest import File, Model, Precision, Tensor

INTEGER = {"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
COMPUTE = {"Conv", "ConvTranspose", "MatMul", "Gemm", "Attention", *INTEGER}


def describe(file: Path, precision: Precision, stored_as: Precision) -> Model:
    """A graph and the external weights beside it: hashes, inputs, outputs, opset, compute."""
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
        compute=_shares(graph.graph),
        stored_as=stored_as,
    )


def _shares(graph: onnx.GraphProto) -> dict[Precision, float]:
    """The share of compute nodes in each precision, by the type of what they are fed.

    A node fed by DequantizeLinear computes in int8: engines run the two as one.
    """
    made_by = {name: node for node in graph.node for name in node.output}
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        types[value.name] = value.type.tensor_type.elem_type
    counts = Counter(
        _precision(node, made_by, types) for node in graph.node if node.op_type in COMPUTE
    )
    return {each: count / counts.total() for each, count in sorted(counts.items())}


def _precision(
    node: onnx.NodeProto, made_by: dict[str, onnx.NodeProto], types: dict[str, int]
) -> Precision:
    source = made_by.get(node.input[0])
    if node.op_type in INTEGER or (source and source.op_type == "DequantizeLinear"):
        return "int8"
    known = [types[name] for name in (*node.input, *node.output) if types.get(name)]
    return "fp16" if known and known[0] == onnx.TensorProto.FLOAT16 else "fp32"


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    return Tensor(
        name=value.name,
        shape=tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim),
        dtype=str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)),
    )
