"""int8: of convolutional networks calibrated on photographs, of transformers as it runs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from .to_onnx import external_data, replace

Feed = Mapping[str, Tensor]


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: Iterable[Feed]) -> None:
        self.feeds = iter(feeds)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        feed = next(self.feeds, None)
        return feed and {name: tensor.numpy() for name, tensor in feed.items()}


def quantise_dynamic(path: Path) -> None:
    """Replace an fp32 ONNX file by one whose weighted matrix products are int8.

    Weights have a scale per channel; activations get theirs for every image, so the few channels
    in which transformers are loud cost no calibration.
    """
    external = external_data(path).exists()
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        result = Path(folder) / "int8.onnx"
        logging.disable(logging.WARNING)  # advice to optimise for this machine first
        try:
            quantize_dynamic(
                path,
                result,
                nodes_to_quantize=_with_weights(path),
                per_channel=True,
                weight_type=QuantType.QInt8,
                use_external_data_format=external,
            )
        finally:
            logging.disable(logging.NOTSET)
        model = onnx.load(result)
    replace(path, model)


def quantise_static(path: Path, feeds: Iterable[Feed]) -> None:
    """Replace an fp32 ONNX file by its int8 form, calibrated on what `feeds` gives its inputs.

    Convolutions and matrix products become int8, except depthwise convolutions and the first
    quarter of the layers: there a few large activations cost everything else its resolution.
    """
    external = external_data(path).exists()
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        prepared, result = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(path, prepared, skip_symbolic_shape=True, save_as_external_data=external)
        quantize_static(
            prepared,
            result,
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=_robust_nodes(prepared),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            use_external_data_format=external,
        )
        model = onnx.load(result)
    replace(path, model)


def _with_weights(path: Path) -> list[str]:
    """Matrix products with a matrix of weights; engines run stacks of them in fp32 only."""
    graph = onnx.load(path, load_external_data=False).graph
    matrices = {each.name for each in graph.initializer if len(each.dims) == 2}
    return [
        node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] in matrices
    ]


def _robust_nodes(path: Path) -> list[str]:
    nodes = [
        node
        for node in onnx.load(path, load_external_data=False).graph.node
        if node.op_type in ("Conv", "MatMul", "Gemm")
    ]
    return [node.name for node in nodes[len(nodes) // 4 :] if not _is_depthwise(node)]


def _is_depthwise(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
