"""Engines of TensorRT and TensorRT-RTX on the GPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import GeoAwareError, InputError
from ..manifest import EngineKind, EngineRecord, Model
from . import tensorrt_module
from .buffers import allocated, batch_of, shape_of

if TYPE_CHECKING:
    from ...kernels.cuda.arrays import DeviceArray
    from ...kernels.cuda.gpu import Gpu
    from ...kernels.cuda.graph import CudaGraph

# Callers alternate between few sets of input buffers; whoever brings new ones every time would
# make a new graph every time.
MOST_GRAPHS = 8


class TensorRTEngine:
    """A plan and execution contexts of it, made when first needed."""

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
                path, brings_code = folder / plan.file.name, record.options.version_compatible
                return cls(LoadedPlan(path, model, record.kind, record.batches, gpu, brings_code))
        raise GeoAwareError(f"{folder}: the {record.kind} engine has no {model.files[0].name}")

    def run(self, inputs: Mapping[str, DeviceArray]) -> dict[str, DeviceArray]:
        """Enqueue the computation of every output. See `DeviceEngine.run`."""
        return self._context(batch_of(self.model, inputs)).run(inputs)

    def worker(self) -> TensorRTEngine:
        """Execution contexts of its own. See `DeviceEngine.worker`."""
        return TensorRTEngine(self.plan)

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


class LoadedPlan:
    """A plan, deserialised: the weights are on the GPU."""

    def __init__(
        self,
        path: Path,
        model: Model,
        kind: EngineKind,
        batches: tuple[int, ...],
        gpu: Gpu,
        brings_code: bool = False,
    ) -> None:
        """Load the plan in a file, whose optimisation profiles are of these batch sizes.

        brings_code: whether the plan may bring the code that runs it, as version-compatible ones
        do. Raises GeoAwareError where TensorRT cannot load it, or where its inputs and outputs are
        not the model's.
        """
        self.path, self.model, self.batches, self.gpu = path, model, batches, gpu
        self.module = tensorrt_module.load(kind)
        # The runtime has to live as long as the engine.
        self._runtime = tensorrt_module.started(self.module, self.module.Runtime)
        self._runtime.engine_host_code_allowed = brings_code
        self.engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self.engine is None:
            raise self.failure("cannot be loaded")
        self._check_tensors()

    def failure(self, what: str) -> GeoAwareError:
        """An error that says what TensorRT complained of."""
        return GeoAwareError(
            f"{self.path}: {what}: {tensorrt_module.first_error(self.module)} "
            f"({self.module.__name__} {self.module.__version__})"
        )

    def _check_tensors(self) -> None:
        names = [self.engine.get_tensor_name(index) for index in range(self.engine.num_io_tensors)]
        for tensor in (*self.model.inputs, *self.model.outputs):
            if tensor.name not in names:
                raise GeoAwareError(f"{self.path}: has no tensor {tensor.name!r}")
            dtype = np.dtype(self.module.nptype(self.engine.get_tensor_dtype(tensor.name)))
            if dtype != tensor.dtype:
                raise GeoAwareError(
                    f"{self.path}: {tensor.name} is {dtype}, and {tensor.dtype} in the manifest"
                )


class _Context:
    """An execution context at one batch size. Its shapes and outputs never change.

    The first run on a set of inputs is enqueued as it is, which warms up; the second is recorded
    in a CUDA graph, which later runs replay.
    """

    def __init__(self, plan: LoadedPlan, batch: int) -> None:
        self._plan, stream = plan, plan.gpu.stream
        self.context = plan.engine.create_execution_context()
        if self.context is None:
            raise plan.failure("no execution context")
        profile = plan.batches.index(batch)
        if not self.context.set_optimization_profile_async(profile, stream.handle):
            raise plan.failure(f"no optimisation profile for a batch of {batch}")
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
        self._graphs: dict[tuple[int, ...], CudaGraph | None] = {}

    def run(self, inputs: Mapping[str, DeviceArray]) -> dict[str, DeviceArray]:
        addresses = tuple(inputs[tensor.name].pointer for tensor in self._plan.model.inputs)
        graph = self._graphs.get(addresses)
        if graph is None and addresses in self._graphs:
            graph = self._graphs[addresses] = self._recorded(inputs)
        if graph is not None:
            graph.replay()
            return self.outputs
        self._enqueue(inputs)
        if len(self._graphs) < MOST_GRAPHS:
            self._graphs[addresses] = None
        return self.outputs

    def _recorded(self, inputs: Mapping[str, DeviceArray]) -> CudaGraph:
        from ...kernels.cuda.graph import CudaGraph

        return CudaGraph(self._plan.gpu, lambda: self._enqueue(inputs))

    def _enqueue(self, inputs: Mapping[str, DeviceArray]) -> None:
        for name, array in (*inputs.items(), *self.outputs.items()):
            if not self.context.set_tensor_address(name, array.pointer):
                raise self._plan.failure(f"{name}: its address is refused")
        if not self.context.execute_async_v3(self._plan.gpu.stream.handle):
            raise self._plan.failure("cannot run")
