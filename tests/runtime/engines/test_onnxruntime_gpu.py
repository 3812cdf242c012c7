"""onnxruntime on arrays where they lie; here the host's memory, by its CPU provider."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.runtime import Bundle
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


def test_outputs_are_allocated_once_and_each_worker_has_its_own(engine: OnnxRuntimeGpuEngine):
    image = DeviceArray.of(engine.gpu, IMAGES[:1])
    first = engine.run({"image": image})["descriptors"].pointer
    assert engine.run({"image": image})["descriptors"].pointer == first
    worker = engine.worker()
    assert worker.run({"image": image})["descriptors"].pointer != first
    assert worker.session is engine.session


@pytest.mark.parametrize(
    "image", [IMAGES[:, :, :256], IMAGES.astype(np.float16)], ids=["shape", "dtype"]
)
def test_other_arrays_are_refused_before_they_are_read(
    engine: OnnxRuntimeGpuEngine, image: np.ndarray
):
    with pytest.raises(InputError, match=r"image: float\d\d \(2, 3, .*, where float32 \(2, 3, 512"):
        engine.run({"image": DeviceArray.of(engine.gpu, image)})


def test_engines_of_onnxruntime_are_kept_by_model_and_gpu(model: Model, tmp_path: Path):
    here = cache_folder(model, MemoryGpu())
    assert here.parent == tmp_path / "home" / "onnxruntime-tensorrt"
    assert cache_folder(model, MemoryGpu()) == here
    assert cache_folder(model, MemoryGpu("NVIDIA L4")) != here
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
