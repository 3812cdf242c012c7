"""TensorRT's interface, as far as it is used: plans hold the ONNX graph, onnxruntime runs it.

What TensorRT refuses is refused: unknown tensors, shapes outside the profile, running without
addresses. Its engines compute on the memory that addresses name.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from enum import Enum, IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from geoaware.runtime.engines.tensorrt_module import MODULES
from geoaware.runtime.manifest import EngineKind

from .memory_gpu import MemoryGpu, array_at

LAYERS = {
    "Conv": "CONVOLUTION", "MatMul": "MATRIX_MULTIPLY", "Gemm": "MATRIX_MULTIPLY",
    "Attention": "ATTENTION_INPUT",
}  # fmt: skip
DTYPES = {"FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64, "BOOL": np.bool_}
DataType = Enum("DataType", ["FLOAT", "HALF", "INT64", "BOOL"])
ONNX_TYPES = {1: DataType.FLOAT, 10: DataType.HALF, 7: DataType.INT64, 9: DataType.BOOL}
FORMATS = {"FLOAT": "FP32", "HALF": "FP16", "INT64": "Int64", "BOOL": "Bool"}


class FakeTensorRT(ModuleType):
    """The module.

    spoil: changes a graph while it is built. out_of_memory: builds fail. whole_in_single: the
    inspector tells of nothing but fp32. gpu: where engines run. no_room: how many of the next
    calls that take memory of the GPU fail. capturable: what execution contexts of TensorRT-RTX say.
    made_with: what each execution context was made with. refuses: an operator that it does not
    know.
    """

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING = range(3)

        def __init__(self) -> None:
            pass

    NetworkDefinitionCreationFlag = IntEnum("Flag", {"STRONGLY_TYPED": 1})
    ProfilingVerbosity = Enum("ProfilingVerbosity", ["NONE", "DETAILED"])
    BuilderFlag = Enum("BuilderFlag", ["TF32", "VERSION_COMPATIBLE", "REQUIRE_USER_ALLOCATION"])
    MemoryPoolType = Enum("MemoryPoolType", ["WORKSPACE"])
    HardwareCompatibilityLevel = Enum("HardwareCompatibilityLevel", ["NONE", "AMPERE_PLUS"])
    LayerInformationFormat = Enum("LayerInformationFormat", ["JSON"])
    ComputeCapability = Enum("ComputeCapability", ["SM80", "SM89"])
    ExecutionContextAllocationStrategy = Enum("Allocation", ["STATIC", "ON_PROFILE_CHANGE"])

    def __init__(self, gpu: MemoryGpu, name: str = "tensorrt", version: str = "11.4.0.106") -> None:
        super().__init__(name)
        self.__version__, self.gpu = version, gpu
        self.spoil: Callable[[onnx.ModelProto], None] | None = None
        self.out_of_memory = self.whole_in_single = False
        self.refuses: str | None = None
        self.built: list[SimpleNamespace] = []
        self.no_room, self.capturable, self.made_with = 0, True, []
        self.IProgressMonitor = object
        if name == "tensorrt_rtx":
            self.DynamicShapesKernelSpecializationStrategy = Enum("Strategy", ["LAZY", "EAGER"])

    def takes_memory(self, logger: Any) -> bool:
        """Whether there is room; says so where there is none."""
        assert self.gpu.context.current, "another context is current"
        if self.no_room:
            self.no_room -= 1
            logger.log(self.ILogger.ERROR, "[defaultAllocator.cpp] Cuda Runtime (out of memory)")
            logger.log(self.ILogger.ERROR, "Internal Error")
            return False
        return True

    def nptype(self, kind: DataType) -> type:
        return DTYPES[kind.name]

    def Builder(self, logger: Any) -> Builder:
        return Builder(self, logger)

    def OnnxParser(self, network: Network, logger: Any) -> Parser:
        return Parser(network, self.refuses)

    def Runtime(self, logger: Any) -> Runtime:
        return Runtime(self, logger)


def install(
    module: FakeTensorRT, kind: EngineKind, monkeypatch: pytest.MonkeyPatch
) -> FakeTensorRT:
    """Put the module in the place of a kind's, under a name that nobody else looks for."""
    name = f"fake_{module.__name__}"
    monkeypatch.setitem(MODULES, kind, name)
    monkeypatch.setitem(sys.modules, name, module)
    return module


class Network:
    """A parsed graph and the type of each of its tensors."""

    def parse(self, content: bytes) -> None:
        self.model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(content))
        graph = self.model.graph
        self.types = types_of(graph)
        self.num_layers, self.num_inputs = len(graph.node), len(graph.input)

    def get_layer(self, index: int) -> SimpleNamespace:
        node = self.model.graph.node[index]
        dtype = next((self.types[name] for name in node.input if name in self.types), None)
        kind = SimpleNamespace(name=LAYERS.get(node.op_type, "ELEMENTWISE"))
        return SimpleNamespace(type=kind, get_input=lambda _: SimpleNamespace(dtype=dtype))

    def get_input(self, index: int) -> SimpleNamespace:
        value = self.model.graph.input[index]
        return SimpleNamespace(name=value.name, shape=shape_of(value))


class Parser:
    def __init__(self, network: Network, refuses: str | None) -> None:
        self.network, self.refuses = network, refuses
        self.num_errors = 0

    def parse(self, content: bytes, path: str) -> bool:
        self.network.parse(content)
        operators = {node.op_type for node in self.network.model.graph.node}
        self.num_errors = int(self.refuses in operators)
        return not self.num_errors

    def get_error(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(
            node_name=lambda: "a_node",
            node_operator=lambda: self.refuses,
            desc=lambda: "no importer registered for it",
        )


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_shape(self, name: str, least: Any, usual: Any, most: Any) -> None:
        assert least == usual == most
        self.shapes[name] = tuple(least)


class Config:
    """What a build was asked for."""

    def __init__(self) -> None:
        self.flags, self.profiles, self.cache, self.workspace = {"TF32"}, [], None, None

    def clear_flag(self, flag: Enum) -> None:
        self.flags.discard(flag.name)

    def set_flag(self, flag: Enum) -> None:
        self.flags.add(flag.name)

    def set_memory_pool_limit(self, pool: Enum, size: int) -> None:
        self.workspace = size

    def set_compute_capability(self, capability: Enum, index: int) -> None:
        assert index < self.num_compute_capabilities
        self.built_for = capability.name

    def add_optimization_profile(self, profile: Profile) -> None:
        self.profiles.append(profile)

    def create_timing_cache(self, content: bytes) -> SimpleNamespace:
        return SimpleNamespace(serialize=lambda: content + b"|learnt")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> None:
        self.cache = cache

    def get_timing_cache(self) -> Any:
        return self.cache


class Builder:
    def __init__(self, module: FakeTensorRT, logger: Any) -> None:
        self.module, self.logger = module, logger

    def create_network(self, flags: int) -> Network:
        assert flags == 2, "strongly typed"
        return Network()

    def create_builder_config(self) -> Config:
        return Config()

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
        self.module.built.append(config)
        if self.module.out_of_memory:
            self.logger.log(self.module.ILogger.ERROR, "[virtualMemoryBuffer.cpp] OutOfMemory")
            return None
        if self.module.spoil:
            self.module.spoil(network.model)
        assert config.profiling_verbosity.name == "DETAILED"
        shapes = [profile.shapes for profile in config.profiles]
        return pickle.dumps((network.model.SerializeToString(), shapes))


class Runtime:
    engine_host_code_allowed = False

    def __init__(self, module: FakeTensorRT, logger: Any) -> None:
        self.module, self.logger = module, logger

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        if not self.module.takes_memory(self.logger):
            return None
        try:
            return Engine(self.module, self.logger, *pickle.loads(plan))
        except pickle.UnpicklingError:
            self.logger.log(self.module.ILogger.ERROR, "Magic tag does not match")
            return None


class Engine:
    def __init__(
        self, module: FakeTensorRT, logger: Any, content: bytes, profiles: list[Any]
    ) -> None:
        self.module, self.logger, self.profiles = module, logger, profiles
        self.model = onnx.load_model_from_string(content)
        graph = self.model.graph
        self.session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        self.tensors = {value.name: value for value in (*graph.input, *graph.output)}
        self.inputs = [value.name for value in graph.input]
        self.outputs = [value.name for value in graph.output]
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_dtype(self, name: str) -> DataType:
        return ONNX_TYPES[self.tensors[name].type.tensor_type.elem_type]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return shape_of(self.tensors[name])

    def create_runtime_config(self) -> RuntimeConfig:
        return RuntimeConfig(self)

    def create_execution_context(self, how: Any) -> Context | None:
        if not self.module.takes_memory(self.logger):
            return None
        self.module.made_with.append(how)
        if self.module.__name__ != "tensorrt_rtx":
            return Context(self)
        return RtxContext(self, how)

    def create_engine_inspector(self) -> Inspector:
        return Inspector(self)


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.profile = engine, engine.profiles[0]
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        engine = self.engine
        if index >= len(engine.profiles) or not engine.module.takes_memory(engine.logger):
            return False
        self.profile = self.engine.profiles[index]
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return self.profile.get(name) == tuple(shape)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """What it really is: not every tensor has the batch in front."""
        if name in self.shapes:
            return self.shapes[name]
        engine = self.engine
        feed = {
            each: np.zeros(shape, DTYPES[engine.get_tensor_dtype(each).name])
            for each, shape in self.shapes.items()
        }
        [value] = engine.session.run([name], feed)
        return value.shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return name in self.engine.tensors

    def execute_async_v3(self, stream: int) -> bool:
        assert self.engine.module.gpu.context.current, "another context is current"
        if self.shapes.keys() != set(self.engine.inputs) or (
            self.addresses.keys() != self.engine.tensors.keys()
        ):
            return False
        addresses = dict(self.addresses)
        self.engine.module.gpu.stream.enqueue(lambda: self._compute(addresses))
        return True

    def _compute(self, addresses: dict[str, int]) -> None:
        engine = self.engine
        feed = {
            name: array_at(
                addresses[name], shape, DTYPES[engine.get_tensor_dtype(name).name]
            ).copy()
            for name, shape in self.shapes.items()
        }
        for name, value in zip(
            engine.outputs, engine.session.run(engine.outputs, feed), strict=True
        ):
            array_at(addresses[name], value.shape, value.dtype)[...] = value


class RtxContext(Context):
    """Compiles where its kernels are not yet in the cache."""

    def __init__(self, engine: Engine, config: RuntimeConfig) -> None:
        super().__init__(engine)
        self.cache = config.cache

    def execute_async_v3(self, stream: int) -> bool:
        if self.cache:
            self.cache.compile(self.shapes)
        return super().execute_async_v3(stream)

    def is_stream_capturable(self, stream: int) -> bool:
        return self.engine.module.capturable


class RuntimeConfig:
    dynamic_shapes_kernel_specialization_strategy: Any = None
    strategy: Any = None
    cache: RuntimeCache | None = None

    def __init__(self, engine: Engine) -> None:
        self.module = engine.module

    def set_execution_context_allocation_strategy(self, strategy: Enum) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> RuntimeCache:
        return RuntimeCache(self.module.__version__)

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        self.cache = cache
        return True


class RuntimeCache:
    """Kernels of one version. compiled: how often it had to compile."""

    compiled = 0

    def __init__(self, version: str) -> None:
        self.version, self.kernels = version, set()

    def compile(self, shapes: dict[str, tuple[int, ...]]) -> None:
        if str(shapes) not in self.kernels:
            RuntimeCache.compiled += 1
            self.kernels.add(str(shapes))

    def serialize(self) -> bytes:
        return json.dumps([self.version, sorted(self.kernels)]).encode()

    def deserialize(self, content: bytes) -> bool:
        try:
            version, kernels = json.loads(content)
        except ValueError:
            return False
        if version != self.version:
            return False
        self.kernels = set(kernels)
        return True


class Inspector:
    """Tells types in one field, as version 10 does, or in two, as 11 does."""

    execution_context: Context | None = None

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def get_engine_information(self, form: Enum) -> str:
        types = types_of(onnx.shape_inference.infer_shapes(self.engine.model).graph)
        layers = [
            {
                "Name": node.name,
                "LayerType": "Constant" if node.op_type == "Constant" else node.op_type,
                "Inputs": [self._tensor(name, types) for name in node.input if name in types],
                "Outputs": [self._tensor(name, types) for name in node.output if name in types],
            }
            for node in self.engine.model.graph.node
        ]
        return json.dumps({"Layers": layers})

    def _tensor(self, name: str, types: dict[str, DataType]) -> dict[str, str]:
        module = self.engine.module
        form = FORMATS[types[name].name]
        if module.whole_in_single and form == "FP16":
            form = "FP32"
        if self.execution_context is None:
            return {"Name": name, "Format/Datatype": "N/A due to dynamic shapes"}
        if module.__version__.startswith("10."):
            return {"Name": name, "Format/Datatype": f"Row major linear {form} format"}
        words = {"FP32": "Float", "FP16": "Half"}
        return {"Name": name, "Format": "Row major linear", "Datatype": words.get(form, form)}


def types_of(graph: onnx.GraphProto) -> dict[str, DataType]:
    values = {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    values |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {name: ONNX_TYPES[kind] for name, kind in values.items() if kind in ONNX_TYPES}


def shape_of(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """-1 where a dimension is free."""
    return tuple(dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim)
