"""Engines of TensorRT and TensorRT-RTX on the GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...kernels.home import home
from ..errors import GeoAwareError, InputError
from ..manifest import EngineRecord, Model, Plan
from . import tensorrt_module
from .buffers import allocated, batch_of, shape_of
from .gpu import architecture
from .tensorrt_plan import LoadedPlan

if TYPE_CHECKING:
    from ...kernels.cuda.arrays import DeviceArray
    from ...kernels.cuda.gpu import Gpu
    from ...kernels.cuda.graph import CudaGraph

# Callers alternate between few sets of input buffers; whoever brings new ones every time would
# make a new graph every time.
MOST_GRAPHS = 8


class TensorRTEngine:
    """A plan and an execution context for each batch size, made when first needed."""

    def __init__(self, plan: LoadedPlan) -> None:
        self.plan, self.model, self.batches = plan, plan.model, plan.batches
        self._contexts: dict[int, _Context] = {}

    @classmethod
    def of(cls, folder: Path, model: Model, record: EngineRecord, gpu: Gpu) -> TensorRTEngine:
        """The engine of a model in a bundle's folder; `choose` found out whether it fits.

        Raises GeoAwareError where TensorRT cannot load it.
        """
        digests = tuple(file.sha256 for file in model.files)
        for plan in record.plans:
            if plan.model == digests:
                loaded = LoadedPlan(
                    folder / plan.file.name,
                    model,
                    record.kind,
                    record.batches,
                    gpu,
                    brings_code=record.options.version_compatible,
                    kernels=_kernels(plan, gpu) if record.kind == "tensorrt-rtx" else None,
                )
                return cls(loaded)
        raise GeoAwareError(f"{folder}: the {record.kind} engine has no {model.files[0].name}")

    def run(self, inputs: Mapping[str, DeviceArray]) -> dict[str, DeviceArray]:
        """Enqueue the computation of every output. See `DeviceEngine.run`."""
        batch = batch_of(self.model, inputs)
        is_new = batch not in self._contexts
        outputs = self._context(batch).run(inputs)
        if is_new:
            self.plan.keep_kernels()
        return outputs

    def layers(self) -> str:
        """What the engine inspector tells of every layer at the first batch size, as JSON."""
        inspector = self.plan.engine.create_engine_inspector()
        inspector.execution_context = self._context(self.batches[0]).context
        return str(inspector.get_engine_information(self.plan.module.LayerInformationFormat.JSON))

    def _context(self, batch: int) -> _Context:
        if batch not in self.batches:
            taken = ", ".join(map(str, self.batches))
            raise InputError(f"a batch of {batch}: {self.plan.path.name} takes {taken}")
        if batch not in self._contexts:
            self._contexts[batch] = _Context(self.plan, batch)
        return self._contexts[batch]


def _kernels(plan: Plan, gpu: Gpu) -> Path:
    """The file for what TensorRT-RTX compiles of a plan on a GPU."""
    gpus_name = f"{gpu.name}-{architecture(gpu)}".replace(" ", "-").replace("/", "-")
    return home() / "tensorrt-rtx" / f"{plan.file.sha256[:16]}-{gpus_name}.kernels"


class _Context:
    """An execution context at one batch size. Its shapes and outputs never change.

    The first run on a set of inputs is enqueued as it is, which warms up; the second is recorded
    in a CUDA graph, which later runs replay. What cannot be recorded is enqueued every time.
    """

    def __init__(self, plan: LoadedPlan, batch: int) -> None:
        self._plan, stream = plan, plan.gpu.stream
        self.context = plan.new_context()
        profile = plan.batches.index(batch)
        plan.attempt(
            f"no optimisation profile for a batch of {batch}",
            lambda: self.context.set_optimization_profile_async(profile, stream.handle),
        )
        stream.synchronize()
        for tensor in plan.model.inputs:
            if not self.context.set_input_shape(tensor.name, shape_of(tensor, batch)):
                raise plan.failure(f"{tensor.name}: a batch of {batch} is refused")
        for tensor in plan.model.outputs:
            shape = tuple(self.context.get_tensor_shape(tensor.name))
            if shape != shape_of(tensor, batch):
                raise GeoAwareError(
                    f"{plan.path}: {tensor.name} is {shape}, not that of the manifest"
                )
        self.outputs = allocated(plan.model, batch, plan.gpu)
        self._graphs: dict[tuple[int, ...], _Graph] = {}  # the last used is the last

    def run(self, inputs: Mapping[str, DeviceArray]) -> dict[str, DeviceArray]:
        self._plan.gpu.context.enter()
        addresses = tuple(inputs[tensor.name].pointer for tensor in self._plan.model.inputs)
        graph = self._graphs.pop(addresses, None)
        if graph is None:
            self._enqueue(inputs)
            graph = _Graph()
        else:
            self._repeat(graph, inputs)
        self._graphs[addresses] = graph
        while len(self._graphs) > MOST_GRAPHS:
            del self._graphs[next(iter(self._graphs))]
        return self.outputs

    def _repeat(self, graph: _Graph, inputs: Mapping[str, DeviceArray]) -> None:
        if graph.recorded is None and not graph.refused:
            graph.recorded = self._recorded(inputs)
            graph.refused = graph.recorded is None
        if graph.recorded is None:
            self._enqueue(inputs)
        else:
            graph.recorded.replay()

    def _recorded(self, inputs: Mapping[str, DeviceArray]) -> CudaGraph | None:
        """A run as a graph; None where it cannot be recorded.

        TensorRT-RTX says where it cannot. Others find out, as does a recording that another
        library's waiting for the whole device breaks; running without a graph is only slower.
        """
        from ...kernels.cuda.errors import CudaError
        from ...kernels.cuda.graph import CudaGraph

        capturable = getattr(self.context, "is_stream_capturable", None)
        if capturable and not capturable(self._plan.gpu.stream.handle):
            return None
        try:
            return CudaGraph(self._plan.gpu, lambda: self._enqueue(inputs))
        except (CudaError, GeoAwareError):
            return None

    def _enqueue(self, inputs: Mapping[str, DeviceArray]) -> None:
        tensorrt_module.forget(self._plan.module)
        for name, array in (*inputs.items(), *self.outputs.items()):
            if not self.context.set_tensor_address(name, array.pointer):
                raise self._plan.failure(f"{name}: its address is refused")
        if not self.context.execute_async_v3(self._plan.gpu.stream.handle):
            raise self._plan.failure("cannot run")


@dataclass
class _Graph:
    """A run on a set of inputs, recorded where it was tried and not refused."""

    recorded: CudaGraph | None = None
    refused: bool = False
