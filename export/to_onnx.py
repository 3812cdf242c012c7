"""A torch module to an ONNX file."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import Parameter, signature
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from ..runtime.errors import GeoAwareError, first_line
from .graphs import Graph, Shape

SCOPES = "pkg.torch.onnx.name_scopes"

# Protobuf messages end at 2 GB; weights of larger models live beside the graph.
EXTERNAL_FROM_BYTES = 1_500_000_000


def export(graph: Graph, folder: Path, opset: int) -> Path:
    """Write `<graph.name>.onnx` (and `.onnx.data` where weights are large), batch size free.

    Of the exporter's notes only the module each node came from is kept: the rest names paths
    of the machine that built it. Raises GeoAwareError where torch cannot export the module.
    """
    path = folder / f"{graph.name}.onnx"
    example = [_example(name, shape, graph) for name, shape in graph.inputs.items()]
    with _quiet():
        try:
            program = torch.onnx.export(
                graph.module,
                tuple(example),
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_shapes=_free_dimensions(graph),
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            if own := _own_error(error):
                raise own from None
            raise GeoAwareError(
                f"{graph.name}: torch cannot export it: {first_line(error)}"
            ) from error
        assert program is not None
        for node in program.model.graph.all_nodes():
            scopes = node.metadata_props.get(SCOPES)
            node.metadata_props.clear()
            if scopes:
                node.metadata_props[SCOPES] = scopes
        size = sum(p.numel() * p.element_size() for p in graph.module.parameters())
        program.save(path, external_data=size > EXTERNAL_FROM_BYTES)
    del program
    gc.collect()  # the exporter's graphs refer to each other, and hold the weights
    return path


def store_half(path: Path) -> None:
    """Store the fp32 weights of an ONNX file as fp16; a Cast brings them back once at load."""
    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(values.astype("float16"), f"{name}.half"))
        casts.append(
            onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    replace(path, model)


def external_data(path: Path) -> Path:
    """Where the weights of an ONNX file lie that are too large for the file itself."""
    return path.with_name(f"{path.name}.data")


def replace(path: Path, model: onnx.ModelProto) -> None:
    """Write a model in the place of another, its weights beside it where the other's are."""
    data = external_data(path)
    external = data.exists()
    data.unlink(missing_ok=True)
    onnx.save(model, path, save_as_external_data=external, location=data.name)


def _own_error(error: BaseException | None) -> GeoAwareError | None:
    """What a module of ours complained of while it was exported."""
    while error is not None and not isinstance(error, GeoAwareError):
        error = error.__cause__ or error.__context__
    return error


def _example(name: str, shape: Shape, graph: Graph) -> Tensor:
    sizes = [2, *(3 if isinstance(size, str) else size for size in shape)]
    return torch.ones(sizes, dtype=torch.int64) if name in graph.whole else torch.rand(sizes)


def _free_dimensions(graph: Graph) -> tuple[object, ...]:
    named = {each for shape in graph.inputs.values() for each in shape if isinstance(each, str)}
    free = {name: torch.export.Dim(name) for name in ("batch", *sorted(named))}
    shapes = tuple(
        {0: free["batch"]} | {i: free[d] for i, d in enumerate(shape, 1) if isinstance(d, str)}
        for shape in graph.inputs.values()
    )
    parameters = signature(graph.module.forward).parameters.values()
    variadic = any(each.kind is Parameter.VAR_POSITIONAL for each in parameters)
    return (shapes,) if variadic else shapes


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on packages that nobody here needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
