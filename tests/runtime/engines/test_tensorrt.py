"""TensorRT engines on a GPU: memory, graphs and what is kept. TensorRT is a fake."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from geoaware.kernels.cuda import graph as cuda_graph
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.runtime.engines.tensorrt import MOST_GRAPHS, TensorRTEngine
from geoaware.runtime.engines.tensorrt_module import version_numbers
from geoaware.runtime.engines.tensorrt_plan import LoadedPlan
from geoaware.runtime.errors import GeoAwareError
from geoaware.runtime.manifest import EngineKind, EngineOptions, EngineRecord, File, Model, Plan

from .fake_tensorrt import Engine, FakeTensorRT, RtxContext, RuntimeCache, RuntimeConfig, install
from .memory_gpu import MemoryGpu, RecordedGraph

SHAPE, BATCHES = (2, 4), (1, 8)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> MemoryGpu:
    monkeypatch.setattr(cuda_graph, "CudaGraph", RecordedGraph)
    monkeypatch.setattr(RecordedGraph, "made", 0)
    return MemoryGpu()


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def kind(request: pytest.FixtureRequest) -> EngineKind:
    return request.param


@pytest.fixture
def module(kind: EngineKind, gpu: MemoryGpu, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    return install(FakeTensorRT(gpu, kind.replace("-", "_")), kind, monkeypatch)


@pytest.fixture(scope="module")
def plan() -> bytes:
    """Of y = -x."""
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *SHAPE]) for name in "xy"
    )
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negative", [x], [y])
    opsets = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    shapes = [{"x": (batch, *SHAPE)} for batch in BATCHES]
    return pickle.dumps((model.SerializeToString(), shapes))


@pytest.fixture
def model() -> Model:
    tensors = [{"name": name, "shape": ("batch", *SHAPE), "dtype": "float32"} for name in "xy"]
    return Model(
        files=(File(name="negative.onnx", sha256="a" * 64, bytes=1),),
        inputs=tensors[:1],
        outputs=tensors[1:],
        opset=20,
        precision="fp32",
        compute={},
        stored_as="fp32",
    )


@pytest.fixture
def loaded(
    plan: bytes, model: Model, kind: EngineKind, gpu: MemoryGpu, module: FakeTensorRT
) -> TensorRTEngine:
    name = Path("negative.engine")
    return TensorRTEngine(LoadedPlan(name, model, kind, BATCHES, gpu, content=plan))


def numbers(gpu: MemoryGpu, batch: int = 1) -> DeviceArray:
    made = np.random.default_rng().random((batch, *SHAPE), np.float32)
    return DeviceArray.of(gpu, made)


def check(engine: TensorRTEngine, x: DeviceArray) -> None:
    np.testing.assert_array_equal(engine.run({"x": x})["y"].numpy(), -x.numpy())


def test_runs_on_the_same_memory_become_a_graph(loaded: TensorRTEngine, gpu: MemoryGpu):
    x = numbers(gpu)
    for _ in range(4):
        check(loaded, x)
    assert RecordedGraph.made == 1
    gpu.upload(numbers(gpu).numpy(), x.pointer)
    check(loaded, x)


def test_what_cannot_be_recorded_runs_without_a_graph(
    loaded: TensorRTEngine, gpu: MemoryGpu, monkeypatch: pytest.MonkeyPatch
):
    """Another thread that waits for the whole device breaks a recording."""
    broken, other = numbers(gpu), numbers(gpu)
    monkeypatch.setattr(RecordedGraph, "refused", True)
    for _ in range(2):
        check(loaded, broken)
    monkeypatch.setattr(RecordedGraph, "refused", False)
    check(loaded, broken)
    assert RecordedGraph.made == 0
    for _ in range(2):
        check(loaded, other)
    assert RecordedGraph.made == 1


@pytest.mark.parametrize("kind", ["tensorrt-rtx"], indirect=True)
def test_nothing_is_recorded_where_tensorrt_rtx_says_that_it_cannot(
    loaded: TensorRTEngine, gpu: MemoryGpu, module: FakeTensorRT
):
    module.capturable = False
    x = numbers(gpu)
    for _ in range(3):
        check(loaded, x)
    assert RecordedGraph.made == 0


def test_inputs_that_come_once_do_not_stop_graphs_for_others(
    loaded: TensorRTEngine, gpu: MemoryGpu
):
    passing = [numbers(gpu) for _ in range(2 * MOST_GRAPHS)]
    for each in passing:
        check(loaded, each)
    kept = numbers(gpu)
    for _ in range(2):
        check(loaded, kept)
    assert RecordedGraph.made == 1
    for each in passing[: MOST_GRAPHS - 1]:
        check(loaded, each)
    check(loaded, kept)
    assert RecordedGraph.made == 1  # still the one it had


def test_a_context_takes_the_memory_of_its_own_batch_size(
    loaded: TensorRTEngine, gpu: MemoryGpu, module: FakeTensorRT, kind: EngineKind
):
    for batch in BATCHES:
        check(loaded, numbers(gpu, batch))
    strategy = module.ExecutionContextAllocationStrategy.ON_PROFILE_CHANGE
    if kind == "tensorrt":
        assert module.made_with == [strategy, strategy]
        return
    eager = module.DynamicShapesKernelSpecializationStrategy.EAGER
    for config in module.made_with:
        assert config.strategy == strategy
        assert config.dynamic_shapes_kernel_specialization_strategy == eager


def test_what_another_library_makes_the_current_context_does_not_matter(
    loaded: TensorRTEngine, gpu: MemoryGpu
):
    for batch in (1, 1, 8):
        gpu.context.current = False
        check(loaded, numbers(gpu, batch))


def test_memory_that_the_pool_keeps_unused_is_given_to_tensorrt(
    plan: bytes, model: Model, kind: EngineKind, gpu: MemoryGpu, module: FakeTensorRT
):
    module.no_room = 1
    loaded = LoadedPlan(Path("negative.engine"), model, kind, BATCHES, gpu, content=plan)
    assert gpu.trims == 1
    module.no_room = 1
    check(TensorRTEngine(loaded), numbers(gpu))
    assert gpu.trims == 2


def test_where_memory_does_not_suffice_it_says_what_to_do(
    loaded: TensorRTEngine, gpu: MemoryGpu, module: FakeTensorRT
):
    module.no_room = 2
    with pytest.raises(
        GeoAwareError,
        match=r"^negative.engine: no execution context: Internal Error \(after: .*out of memory\).*"
        r"; NVIDIA RTX Test has too little free memory: end other programs on it, or build",
    ):
        loaded.run({"x": numbers(gpu)})
    check(loaded, numbers(gpu))


def test_memory_that_was_found_at_last_is_not_the_reason_of_later_failures(
    plan: bytes, model: Model, kind: EngineKind, gpu: MemoryGpu, module: FakeTensorRT
):
    module.no_room = 1
    loaded = LoadedPlan(Path("p"), model, kind, (*BATCHES, 16), gpu, content=plan)
    with pytest.raises(GeoAwareError, match=r"for a batch of 16: no reason given .* engine again"):
        TensorRTEngine(loaded).run({"x": numbers(gpu, 16)})
    assert gpu.trims == 1


def test_what_is_no_plan_says_so_and_nothing_of_memory(
    model: Model, kind: EngineKind, gpu: MemoryGpu, module: FakeTensorRT
):
    with pytest.raises(
        GeoAwareError, match=r"^p: cannot be loaded: Magic tag .*\); build the engine again"
    ):
        LoadedPlan(Path("p"), model, kind, BATCHES, gpu, content=b"\x80\x04 no plan")
    assert gpu.trims == 0


@pytest.mark.parametrize("kind", ["tensorrt-rtx"], indirect=True)
def test_what_tensorrt_rtx_compiles_is_kept_for_other_processes(
    plan: bytes,
    model: Model,
    gpu: MemoryGpu,
    module: FakeTensorRT,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("GEOAWARE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(RuntimeCache, "compiled", 0)
    (tmp_path / "negative.engine").write_bytes(plan)
    file = File(name="negative.engine", sha256="b" * 64, bytes=len(plan))
    record = EngineRecord(
        kind="tensorrt-rtx",
        version=module.__version__,
        compute_capability="8.9",
        gpu=None,
        precision="fp32",
        batches=BATCHES,
        options=EngineOptions(),
        plans=(Plan(model=("a" * 64,), file=file, network={}, layers=None),),
        parity=None,
    )

    def process() -> None:
        engine = TensorRTEngine.of(tmp_path, model, record, gpu)
        for batch in BATCHES:
            check(engine, numbers(gpu, batch))

    process()
    process()
    assert RuntimeCache.compiled == len(BATCHES)
    [kept] = (tmp_path / "home" / "tensorrt-rtx").iterdir()
    module.__version__ = "2.0.0.1"
    process()
    assert RuntimeCache.compiled == 2 * len(BATCHES)
    kept.write_bytes(b"damaged")
    process()
    assert RuntimeCache.compiled == 3 * len(BATCHES)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("10.16.1.11", (10, 16, 1)),
        ("11.0.0rc1", (11, 0, 0)),
        ("11.0rc1", (11, 0)),
        ("unknown", ()),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, expected: tuple[int, ...]):
    assert version_numbers(version) == expected


def test_the_fake_has_no_names_that_tensorrt_rtx_has_not():
    module = pytest.importorskip("tensorrt_rtx")
    for fake, real in (
        (RuntimeConfig, module.IRuntimeConfig),
        (RuntimeCache, module.IRuntimeCache),
        (RtxContext, module.IExecutionContext),
        (Engine, module.ICudaEngine),
    ):
        own = {name for name, value in vars(fake).items() if callable(value)}
        assert {name for name in own if not name.startswith("_")} - {"compile"} <= {*dir(real)}
    assert hasattr(module.IRuntimeConfig, "dynamic_shapes_kernel_specialization_strategy")
    assert hasattr(module.DynamicShapesKernelSpecializationStrategy, "EAGER")
    assert hasattr(module.ExecutionContextAllocationStrategy, "ON_PROFILE_CHANGE")
