"""Which layer of an ONNX file is the first to differ from the PyTorch module it came from."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..runtime.manifest import Precision
from . import graphs
from .graphs import Graph
from .to_onnx import SCOPES

EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"

# Relative error, max |a - b| / max |b|, from which on a layer counts as different.
LIMITS: dict[Precision, float] = {"fp32": 1e-3, "fp16": 2e-2, "int8": 2e-1}


def first_divergence(
    reference: Sequence[Graph],
    files: Sequence[Path],
    images: Mapping[int, Tensor],
    precision: Precision,
) -> str:
    """Name the first module whose output in the ONNX files differs, and by how much.

    Each graph gets the reference's own inputs, so an error is found where it arises.
    """
    errors: list[tuple[str, float]] = []
    feeds = graphs.inputs(reference, images)
    for graph, file, feed in zip(reference, files, feeds, strict=True):
        expected = _module_outputs(graph.module, feed)
        for name, value in _graph_outputs(file, set(expected), feed):
            if value.shape == tuple(expected[name].shape):
                errors.append((f"{graph.name}: {name}", _relative_error(value, expected[name])))
    over = [item for item in errors if not item[1] <= LIMITS[precision]]
    if not errors:
        return "unknown (the graph does not say which module its nodes came from)"
    name, error = over[0] if over else max(errors, key=lambda item: item[1])
    none = "" if over else f"none by more than {LIMITS[precision]}, most "
    return f"{none}{name} (relative error {error:.1e})"


def _relative_error(value: NDArray[Any], expected: Tensor) -> float:
    truth = expected.numpy()
    return float(abs(value.astype(np.float32) - truth).max() / max(abs(truth).max(), 1e-12))


def _module_outputs(module: nn.Module, feed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The output of every submodule that returns one tensor."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            seen[name] = output

    hooks = [
        child.register_forward_hook(lambda _, __, output, name=name: keep(name, output))
        for name, child in module.named_modules()
        if name
    ]
    with torch.inference_mode():
        module(*feed.values())
    for hook in hooks:
        hook.remove()
    return seen


def _graph_outputs(
    file: Path, modules: set[str], feed: Mapping[str, Tensor]
) -> list[tuple[str, NDArray[Any]]]:
    """What the graph computes for each of the modules, in the order it computes them."""
    model = onnx.load(file, load_external_data=False)
    last: dict[str, str] = {}
    for node in model.graph.node:
        for scope in _scopes(node):
            if scope in modules:
                last.pop(scope, None)
                last[scope] = node.output[0]
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in set(last.values()) - known)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(EXTERNAL_FOLDER, str(file.parent))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    values = session.run(list(last.values()), {name: x.numpy() for name, x in feed.items()})
    return list(zip(last, values, strict=True))


def _scopes(node: onnx.NodeProto) -> list[str]:
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            return list(ast.literal_eval(entry.value))
    return []
