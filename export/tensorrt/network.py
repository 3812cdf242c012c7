"""ONNX models as networks of TensorRT."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import onnx

from ...runtime.engines.tensorrt_module import complaint, logger
from ...runtime.errors import GeoAwareError, first_line

# The layers that multiply. Attention is several layers, of which one takes the queries.
COMPUTE = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM", "ATTENTION_INPUT")

TYPES = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8"}


def parse(module: Any, builder: Any, content: bytes, path: Path) -> Any:
    """A strongly typed network: every layer computes in the type that the ONNX graph gives it.

    content: the graph; path: where it lies or would lie, beside its external weights.

    Raises GeoAwareError, naming the node, for a graph that TensorRT does not take.
    """
    # Version 11 has no other kind of network, and ignores the flag that version 10 needs.
    strongly_typed = 1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    parser = module.OnnxParser(network, logger(module))
    if not parser.parse(content, str(path)):
        reason = _parser_error(parser) if parser.num_errors else complaint(module)
        raise GeoAwareError(
            f"{path.name}: {module.__name__} {module.__version__} does not take it: {reason}"
            f"{attention_advice(content)}"
        )
    # The network refers to weights that the parser holds.
    return _Parsed(network, parser)


class _Parsed:
    """A network, and the parser that must live as long."""

    def __init__(self, network: Any, parser: Any) -> None:
        self.network, self._parser = network, parser


def compute_types(network: Any) -> dict[str, int]:
    """How many of a network's layers that multiply are fed each type."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    types = Counter(layer.get_input(0).dtype.name for layer in layers if layer.type.name in COMPUTE)
    return {TYPES.get(name, name.lower()): count for name, count in sorted(types.items())}


def attention_advice(content: bytes) -> str:
    """What to do where a graph is refused that has the operator for attention.

    TensorRT's parser knows it from version 10.14 on, and TensorRT-RTX does not take all of it.
    """
    nodes = onnx.load_model_from_string(content).graph.node
    if not any(node.op_type == "Attention" for node in nodes):
        return ""
    return "; if it is for the operator Attention, build without it: --opset 20 --force"


def _parser_error(parser: Any) -> str:
    error = parser.get_error(0)
    node = f"node {error.node_name()} ({error.node_operator()}): " if error.node_name() else ""
    return node + first_line(ValueError(error.desc()))
