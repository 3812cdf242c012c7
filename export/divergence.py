"""Which layer of an ONNX file is the first to differ from the PyTorch module it came from.

In onnxruntime all layers are looked at in one run. An engine of TensorRT is another engine with
every output that is marked, as marking keeps layers from being fused: a few are marked at a time,
and the first that differs narrows down where to mark next.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

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
        for name, _, value in _graph_outputs(file, set(expected), feed):
            if value.shape == tuple(expected[name].shape):
                errors.append((f"{graph.name}: {name}", _relative_error(value, expected[name])))
    over = [item for item in errors if not item[1] <= LIMITS[precision]]
    if not errors:
        return "unknown (the graph does not say which module its nodes came from)"
    name, error = over[0] if over else max(errors, key=lambda item: item[1])
    none = "" if over else f"none by more than {LIMITS[precision]}, most "
    return f"{none}{name} (relative error {error:.1e})"


@dataclass(frozen=True)
class Marked:
    """A module, and the tensor of the ONNX graph that holds what it gives.

    value: that of onnxruntime. expected: PyTorch's.
    """

    module: str
    tensor: str
    value: NDArray[Any]
    expected: Tensor


class RunMarked(Protocol):
    """Runs an engine of an ONNX file, with outputs of these modules marked too."""

    def __call__(
        self, file: Path, marks: Sequence[Marked], feed: Mapping[str, Tensor]
    ) -> Mapping[str, NDArray[Any]]:
        """All outputs, by the names of their tensors."""


def first_engine_divergence(
    reference: Sequence[Graph],
    files: Sequence[Path],
    images: Mapping[int, Tensor],
    precision: Precision,
    run_marked: RunMarked,
) -> str:
    """Name the first module whose output differs in engines of the ONNX files, and by how much.

    run_marked: builds an engine of a file and runs it.
    """
    feeds = graphs.inputs(reference, images)
    for graph, file, feed in zip(reference, files, feeds, strict=True):
        expected = _module_outputs(graph.module, feed)
        found = _graph_outputs(file, set(expected), feed)
        marks = [
            Marked(name, tensor, value, expected[name])
            for name, tensor, value in found
            if value.shape == tuple(expected[name].shape) and _is_batched(value, feed)
        ]
        errors = partial(_errors_of, marks, partial(run_marked, file, feed=feed))
        first = first_over(len(marks), errors, LIMITS[precision])
        if first is not None:
            index, error = first
            before = f", after {marks[index - 1].module}, which agrees" if index else ""
            return f"{graph.name}: {marks[index].module} (relative error {error:.1e}){before}"
    return "none: with outputs marked, and so fewer layers fused, every layer agrees"


def _is_batched(value: NDArray[Any], feed: Mapping[str, Tensor]) -> bool:
    """Whether an output has the batch in front, as all outputs of an engine must.

    SAM has windows there, and heads.
    """
    [batch] = {len(tensor) for tensor in feed.values()}
    return value.ndim > 0 and len(value) == batch


def _errors_of(
    marks: Sequence[Marked],
    run: Callable[[Sequence[Marked]], Mapping[str, NDArray[Any]]],
    chosen: Sequence[int],
) -> list[float]:
    """The relative errors of the chosen ones."""
    outputs = run([marks[index] for index in chosen])
    return [
        _relative_error(outputs[marks[index].tensor], marks[index].expected) for index in chosen
    ]


def first_over(
    count: int,
    errors: Callable[[Sequence[int]], Sequence[float]],
    limit: float,
    at_once: int = 8,
) -> tuple[int, float] | None:
    """The first of `count` layers in a row whose error is over the limit, and that error.

    errors: of the layers asked for, at most `at_once` at a time. Once a layer is wrong, those after
    it are taken to be wrong as well. None where the last is right.
    """
    low, high = 0, count  # all before low are right; high is wrong, with this error
    error = 0.0
    while low < high:
        steps = min(at_once, high - low)
        chosen = sorted({low + (high - low) * (step + 1) // steps - 1 for step in range(steps)})
        found = errors(chosen)
        wrong = [
            (index, each) for index, each in zip(chosen, found, strict=True) if not each <= limit
        ]
        right = [index for index in chosen if not wrong or index < wrong[0][0]]
        low = right[-1] + 1 if right else low
        if not wrong:
            break
        high, error = wrong[0]
    return (high, error) if high < count else None


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
) -> list[tuple[str, str, NDArray[Any]]]:
    """The modules, the tensors they give, and what the graph computes for them, in its order."""
    model = onnx.load(file, load_external_data=False)
    last: dict[str, str] = {}
    for node in model.graph.node:
        for scope in _scopes(node):
            if scope in modules:
                last.pop(scope, None)
                last[scope] = node.output[0]
    if not last:  # static quantisation may drop the modules' names
        return []
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(EXTERNAL_FOLDER, str(file.parent))
    session = onnxruntime.InferenceSession(
        marked(file, list(last.values())), options, providers=["CPUExecutionProvider"]
    )
    values = session.run(list(last.values()), {name: x.numpy() for name, x in feed.items()})
    return list(zip(last, last.values(), values, strict=True))


def marked(file: Path, tensors: Sequence[str]) -> bytes:
    """An ONNX file, without its external weights, that gives these tensors as well."""
    model = onnx.load(file, load_external_data=False)
    known = {output.name for output in model.graph.output}
    new = [name for name in dict.fromkeys(tensors) if name not in known]
    typed = {value.name: value for value in model.graph.value_info}
    model.graph.output.extend(typed.get(name, onnx.ValueInfoProto(name=name)) for name in new)
    return bytes(model.SerializeToString())


def _scopes(node: onnx.NodeProto) -> list[str]:
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            return list(ast.literal_eval(entry.value))
    return []
