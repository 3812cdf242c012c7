"""Plans of TensorRT and TensorRT-RTX, loaded: the weights, and where they compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GeoAwareError
from ..manifest import EngineKind, Model
from . import tensorrt_module
from .kernel_cache import KernelCache

if TYPE_CHECKING:
    from ...kernels.cuda.gpu import Gpu


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
        content: bytes | None = None,
        kernels: Path | None = None,
    ) -> None:
        """Load a plan whose optimisation profiles are of these batch sizes.

        path: its file, or its name where it is given as `content`. brings_code: whether it may
        bring the code that runs it, as version-compatible ones do. kernels: a file that keeps what
        TensorRT-RTX compiles when the plan first runs.

        Raises GeoAwareError where TensorRT cannot load it, or where its inputs and outputs are
        not the model's.
        """
        self.path, self.model, self.batches, self.gpu = path, model, batches, gpu
        self.module = tensorrt_module.load(kind)
        gpu.context.enter()
        # The runtime has to live as long as the engine.
        self._runtime = tensorrt_module.started(self.module, self.module.Runtime)
        self._runtime.engine_host_code_allowed = brings_code
        plan = path.read_bytes() if content is None else content
        self.engine = self.attempt(
            "cannot be loaded", lambda: self._runtime.deserialize_cuda_engine(plan)
        )
        self._check_tensors()
        self._strategy = self._context_strategy(kernels)

    def new_context(self) -> Any:
        """An execution context. Raises GeoAwareError where TensorRT makes none."""
        return self.attempt(
            "no execution context", lambda: self.engine.create_execution_context(self._strategy)
        )

    def keep_kernels(self) -> None:
        """Keep what was compiled for this GPU, where the plan was given a file for it."""
        if self._kernels:
            self._kernels.keep()

    def attempt(self, what: str, call: Callable[[], Any]) -> Any:
        """What a call of TensorRT gives; `what` says what did not come about where it fails.

        Where memory runs out, it is called once more, with all that the GPU's pool keeps unused.
        """
        made = self._called(call)
        if made is None and tensorrt_module.ran_out_of_memory(self.module):
            self.gpu.trim()
            made = self._called(call)
        if made is None:
            raise self.failure(what)
        return made

    def failure(self, what: str) -> GeoAwareError:
        """An error that says what TensorRT complained of."""
        advice = "build the engine again, or use another --device"
        if tensorrt_module.ran_out_of_memory(self.module):
            advice = (
                f"{self.gpu.name} has too little free memory: end other programs on it, or build "
                "the engine for smaller batches (geoexport build --batch)"
            )
        return GeoAwareError(
            f"{self.path}: {what}: {tensorrt_module.complaint(self.module)} "
            f"({self.module.__name__} {self.module.__version__}); {advice}"
        )

    def _called(self, call: Callable[[], Any]) -> Any:
        """What a call gives, None where it fails; some fail with False."""
        self.gpu.context.enter()
        tensorrt_module.forget(self.module)
        made = call()
        return None if made is False else made

    def _context_strategy(self, kernels: Path | None) -> Any:
        """What execution contexts are made with.

        Each is of one batch size, and takes the memory of that size, not of the largest.
        TensorRT-RTX compiles for a batch size when it is first seen, not while others run, or
        what a graph has recorded would be out of date.
        """
        self._kernels: KernelCache | None = None
        memory = self.module.ExecutionContextAllocationStrategy.ON_PROFILE_CHANGE
        if not hasattr(self.module, "DynamicShapesKernelSpecializationStrategy"):
            return memory
        config = self.attempt("no runtime configuration", self.engine.create_runtime_config)
        config.set_execution_context_allocation_strategy(memory)
        eager = self.module.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = eager
        if kernels:
            self._kernels = KernelCache(kernels, config)
        return config

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
