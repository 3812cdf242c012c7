"""A vision transformer's ONNX files held against its PyTorch module."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import nn

from geoaware.export import to_onnx
from geoaware.export.graphs import Graph, Taps


def exported(network: nn.Module, side: int, dtype: torch.dtype, opset: int, folder: Path) -> Path:
    """The network's ONNX file; the network itself stays as it is."""
    taps = Taps(copy.deepcopy(network), dtype).eval()
    graph = Graph("vit", taps, {"image": (3, side, side)}, list(network.taps))
    return to_onnx.export(graph, folder, opset)


def relative_error(network: nn.Module, file: Path, side: int, batch: int) -> float:
    """The largest of the taps' errors, each against the tap's largest value in fp32 PyTorch."""
    images = torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": images.numpy()})
    with torch.inference_mode():
        truth = [tap.numpy() for tap in Taps(copy.deepcopy(network), torch.float32).eval()(images)]
    assert [each.shape for each in found] == [each.shape for each in truth]
    return max(float(abs(a - b).max() / abs(b).max()) for a, b in zip(found, truth, strict=True))


def operators(file: Path) -> Counter[str]:
    """How often each operator is in the graph."""
    return Counter(node.op_type for node in onnx.load(file, load_external_data=False).graph.node)
