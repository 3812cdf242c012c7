"""The least that work can take on this machine: the roofline of Williams et al. (CACM 2009).

Operations are counted over the rate of a large product, bytes over that of a copy, each the best
(the 99th percentile) that was measured on the machine: by a median, half of what runs at full speed
would take less than its floor. Nothing takes less than the longer of the two. Counted are
multiplications and additions of convolutions, matrix products and attentions, and the bytes that
must move whatever is kept in the caches: what is read at first (weights, inputs) and what is
answered. What passes from one layer to the next may stay in the caches and is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from geoaware.runtime import Bundle
from geoaware.runtime.doctor import missing, require
from geoaware.runtime.errors import GeoAwareError

from . import work as amounts
from .bundles import bundle
from .machine import COPY, PRODUCT
from .rows import OURS, Row
from .settings import Watch

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Work:
    """Floating-point operations, a multiply-add being two, and bytes read or written."""

    flops: float
    bytes: float

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: int) -> Work:
        return Work(self.flops * times, self.bytes * times)


def floor_ms(work: Work, gflops: float, gbps: float) -> float:
    """Milliseconds that the work takes at least, at so many GFLOP/s and GB/s."""
    return max(work.flops / gflops, work.bytes / gbps) / 1e6


def matching_work(points: int | None, grid: int, channels: int) -> Work:
    """One direction of a match in float32: points, None for all cells, on a grid x grid map."""
    cells = grid * grid
    asked = cells if points is None else points
    return Work(
        flops=2.0 * asked * cells * channels,
        bytes=FLOAT_BYTES * float(asked * channels + cells * channels + 2 * asked),
    )


def network_work(bundle: Bundle, batch: int) -> Work:
    """All models of a bundle, from images to descriptors.

    Raises GeoAwareError where a graph does not tell the shape of what is counted, or the extra
    `export` is missing.
    """
    require("export", "counting a network's operations")
    import onnx

    total = Work(0, 0)
    for model in bundle.manifest.models:
        path = bundle.file(model.files[0].name)
        graph = _with_shapes(onnx.load(path, load_external_data=False), batch)
        shapes = _shapes(graph)
        try:
            flops = sum(FLOPS[node.op_type](node, shapes) for node in _counted(graph))
            moved = sum(_bytes(value, shapes) for value in (*graph.input, *graph.output))
        except KeyError as error:
            raise GeoAwareError(f"{path}: the shape of {error} is not known") from None
        weights = sum(file.bytes for file in model.files)
        total += Work(flops, weights + moved)
    return total


def _with_shapes(model: onnx.ModelProto, batch: int) -> onnx.GraphProto:
    """The graph with the shapes of all tensors, for a batch size."""
    import onnx

    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_value = batch
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model, data_prop=True).graph


def _shapes(graph: onnx.GraphProto) -> Shapes:
    """The shapes that are known in full."""
    shapes = {each.name: tuple(each.dims) for each in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if all(each.HasField("dim_value") for each in dimensions):
            shapes[value.name] = tuple(each.dim_value for each in dimensions)
    return shapes


def _counted(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    return (node for node in graph.node if node.op_type in FLOPS)


def _bytes(value: onnx.ValueInfoProto, shapes: Shapes) -> int:
    import onnx

    kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return prod(shapes[value.name]) * kind.itemsize


def _convolution(node: onnx.NodeProto, shapes: Shapes) -> float:
    """Every output takes one multiply-add for each weight of its channel."""
    return 2.0 * prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])


def _transposed_convolution(node: onnx.NodeProto, shapes: Shapes) -> float:
    """Every input goes to one output for each weight of its channel."""
    return 2.0 * prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])


def _product(node: onnx.NodeProto, shapes: Shapes) -> float:
    return 2.0 * prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _general_product(node: onnx.NodeProto, shapes: Shapes) -> float:
    transposed = any(each.name == "transA" and each.i for each in node.attribute)
    return 2.0 * prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else -1]


def _attention(node: onnx.NodeProto, shapes: Shapes) -> float:
    """Scores of all queries with all keys, then as many weights on the values.

    Whether heads have a dimension of their own or not, queries and outputs together have so many
    elements that each meets every key once.
    """
    query, key, output = (shapes[name] for name in (node.input[0], node.input[1], node.output[0]))
    return 2.0 * key[-2] * (prod(query) + prod(output))


FLOPS: dict[str, Callable[[onnx.NodeProto, Shapes], float]] = {
    "Attention": _attention,
    "Conv": _convolution,
    "ConvInteger": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Gemm": _general_product,
    "MatMul": _product,
    "MatMulInteger": _product,
}


class Floors:
    """What rows' work takes at least on the machine whose rows are given."""

    def __init__(self, machine: Iterable[Row], watch: Watch) -> None:
        """Raises GeoAwareError where the machine's rates were not measured."""
        rates = {row.case["what"]: row.spread.p99 for row in machine if row.spread}
        try:
            self._rates = rates[PRODUCT], rates[COPY]
        except KeyError as error:
            raise GeoAwareError(f"no floors: {error} of this machine was not measured") from None
        self._watch = watch
        self._networks_are_counted = not missing("export")
        if not self._networks_are_counted:
            watch.note("no floors of networks: they are counted with the extra export")
        self._networks: dict[tuple[str, int, int], Work] = {}

    def of(self, row: Row) -> float | None:
        """Milliseconds; None for what is not counted: other suites, rivals, other than fp32."""
        if row.contender != OURS or row.unit != "ms" or row.spread is None:
            return None
        work = self._work(row)
        return work and floor_ms(work, *self._rates)

    def _work(self, row: Row) -> Work | None:
        case = row.case
        if row.suite == "features" and case["precision"] == "fp32":
            return self._network(str(case["recipe"]), int(case["frame"]), int(case["batch"]))
        if row.suite == "matching":
            points = None if case["points"] == "all" else int(case["points"])
            return matching_work(points, int(case["grid"]), int(case["channels"]))
        if row.suite == "work":
            return self._amount(str(case["what"]), int(case["at"]))
        return None

    def _amount(self, what: str, at: int) -> Work | None:
        """The work of a row of the suite `work`."""
        own = Bundle.open(amounts.RECIPE).manifest.recipe.frame.side
        match what:
            case "frame side":
                return self._network(amounts.RECIPE, at, 1)
            case "batch":
                return self._network(amounts.RECIPE, own, at)
            case "grid":
                return matching_work(amounts.POINTS, at, amounts.CHANNELS)
            case "keypoints":
                return matching_work(at, amounts.GRID, amounts.CHANNELS)
            case "pairs":  # there and back
                return matching_work(amounts.POINTS, amounts.PAIR_GRID, amounts.PAIR_CHANNELS) * (
                    2 * at
                )
        return None

    def _network(self, recipe: str, side: int, batch: int) -> Work | None:
        if not self._networks_are_counted:
            return None
        from geoaware.export.recipe_files import load

        key = recipe, side, batch
        if key not in self._networks:
            own = load(recipe).frame.side
            made = bundle(recipe, "fp32", None if side == own else side, self._watch)
            self._networks[key] = network_work(made, batch)
        return self._networks[key]


def with_floors(rows: Iterable[Row], machine_rows: Iterable[Row], watch: Watch) -> list[Row]:
    """The rows, with `floor` where it can be counted: ours on a processor, in float32.

    machine_rows: those of the suite `machine`, of the same run.

    Raises GeoAwareError where the machine's rates were not measured.
    """
    floors = Floors(machine_rows, watch)
    return [row.model_copy(update={"floor": floors.of(row)}) for row in rows]
