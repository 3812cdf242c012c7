"""onnxruntime on arrays where they lie; here the host's memory, by its CPU provider."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.engines import onnxruntime_gpu, open_engine
from geoaware.runtime.engines.on_host import OnHost
from geoaware.runtime.engines.onnxruntime_gpu import OnnxRuntimeGpuEngine, cache_folder
from geoaware.runtime.engines.runs import runs
from geoaware.runtime.errors import InputError
from geoaware.runtime.manifest import Model

from .memory_gpu import MemoryGpu

IMAGES = np.random.default_rng(0).random((2, 3, 512, 512), np.float32)


@pytest.fixture
def model() -> Model:
    return Bundle.open().manifest.models[0]


@pytest.fixture
def engine(model: Model, monkeypatch: pytest.MonkeyPatch) -> OnnxRuntimeGpuEngine:
    monkeypatch.setattr(onnxruntime_gpu, "CUDA", "CPUExecutionProvider")
    monkeypatch.setattr(onnxruntime_gpu, "CUDA_OPTIONS", {})
    monkeypatch.setattr(onnxruntime_gpu, "MEMORY", "cpu")
    return OnnxRuntimeGpuEngine(Bundle.open().path, model, MemoryGpu())


def test_it_computes_what_the_cpu_does_where_the_arrays_lie(
    engine: OnnxRuntimeGpuEngine, model: Model
):
    truth = open_engine(Bundle.open().path, model, "cpu").run({"image": IMAGES})
    made = engine.run({"image": DeviceArray.of(engine.gpu, IMAGES)})
    np.testing.assert_array_equal(made["descriptors"].numpy(), truth["descriptors"])
    on_host = OnHost(engine, engine.gpu).run({"image": IMAGES})
    np.testing.assert_array_equal(on_host["descriptors"], truth["descriptors"])


def test_the_outputs_of_all_batch_sizes_are_in_the_memory_of_the_largest(
    engine: OnnxRuntimeGpuEngine,
):
    both = engine.run({"image": DeviceArray.of(engine.gpu, IMAGES)})["descriptors"]
    first = both.rows()[0].numpy()
    one = engine.run({"image": DeviceArray.of(engine.gpu, IMAGES[:1])})["descriptors"]
    assert (one.pointer, len(one)) == (both.pointer, 1)
    np.testing.assert_allclose(one.rows()[0].numpy(), first, atol=1e-6)
    again = engine.run({"image": DeviceArray.of(engine.gpu, IMAGES)})["descriptors"]
    assert again.pointer == both.pointer


def test_a_session_that_finds_no_memory_gets_what_the_pool_keeps(
    model: Model, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(onnxruntime_gpu, "CUDA", "CPUExecutionProvider")
    monkeypatch.setattr(onnxruntime_gpu, "CUDA_OPTIONS", {})
    create, gpu, full = onnxruntime.InferenceSession, MemoryGpu(), [True]

    def session(graph: object, *rest: object, **more: object) -> object:
        if isinstance(graph, Path) and full and full.pop():
            raise RuntimeError("BFCArena: Failed to allocate memory for requested buffer")
        return create(graph, *rest, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    OnnxRuntimeGpuEngine(Bundle.open().path, model, gpu)
    assert gpu.trims == 1
    full += [True, True]
    with pytest.raises(GeoAwareError, match="allocate memory .* RTX Test has too little free mem"):
        OnnxRuntimeGpuEngine(Bundle.open().path, model, gpu)


@pytest.mark.parametrize(
    "image", [IMAGES[:, :, :256], IMAGES.astype(np.float16)], ids=["shape", "dtype"]
)
def test_other_arrays_are_refused_before_they_are_read(
    engine: OnnxRuntimeGpuEngine, image: np.ndarray
):
    with pytest.raises(InputError, match=r"image: float\d\d \(2, 3, .*, where float32 \(2, 3, 512"):
        engine.run({"image": DeviceArray.of(engine.gpu, image)})


def test_engines_of_onnxruntime_are_kept_by_model_and_gpu(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = cache_folder(model, MemoryGpu())
    assert here.parent == tmp_path / "home" / "onnxruntime-tensorrt"
    assert cache_folder(model, MemoryGpu()) == here
    assert cache_folder(model, MemoryGpu("NVIDIA L4")) != here
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert cache_folder(model, MemoryGpu()) != here
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    other = model.files[0].model_copy(update={"sha256": "0" * 64})
    assert cache_folder(model.model_copy(update={"files": (other,)}), MemoryGpu()) != here


@pytest.mark.parametrize(
    ("count", "batches", "expected"),
    [
        (3, None, [(0, 3, 3)]),
        (3, (1, 4), [(0, 3, 4)]),
        (1, (1, 4), [(0, 1, 1)]),
        (9, (1, 4), [(0, 4, 4), (4, 4, 4), (8, 1, 1)]),
        (5, (2,), [(0, 2, 2), (2, 2, 2), (4, 1, 2)]),
        (0, (2,), []),
    ],
)
def test_items_run_in_the_batches_an_engine_takes(
    count: int, batches: tuple[int, ...] | None, expected: list[tuple[int, int, int]]
):
    assert [tuple(run) for run in runs(count, batches)] == expected
