"""A device asked for is that device or an error; `auto` is the best that works, and says why."""

from __future__ import annotations

import onnxruntime
import pytest

from geoaware.kernels.cuda import open as cuda_open
from geoaware.kernels.cuda.errors import CudaError
from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.engines import onnxruntime_gpu, tensorrt_module
from geoaware.runtime.engines.choice import choose
from geoaware.runtime.errors import InputError

from .memory_gpu import MemoryGpu


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> MemoryGpu:
    here = MemoryGpu()
    monkeypatch.setattr(cuda_open, "open_device", lambda: here)
    return here


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_there() -> None:
        raise CudaError("no NVIDIA driver: install it")

    monkeypatch.setattr(cuda_open, "open_device", none_there)


def test_without_a_gpu_auto_is_the_cpu_and_says_why(no_gpu: None):
    choice = choose("auto", Bundle.open())
    assert (choice.device, choice.record) == ("cpu", None)
    assert choice.passed_over == ("no NVIDIA driver: install it",)


@pytest.mark.parametrize("device", ["cuda", "onnxruntime-tensorrt", "tensorrt", "tensorrt-rtx"])
def test_without_a_gpu_every_other_device_is_an_error(no_gpu: None, device: str):
    with pytest.raises(GeoAwareError, match="no NVIDIA driver: install it"):
        choose(device, Bundle.open())


@pytest.mark.parametrize(
    "error", [OSError("libcuda.so.1: bad"), RuntimeError("999"), SystemError()]
)
def test_a_broken_library_never_stops_auto(error: Exception, monkeypatch: pytest.MonkeyPatch):
    def broken() -> None:
        raise error

    monkeypatch.setattr(cuda_open, "open_device", broken)
    assert choose("auto").device == "cpu"


def test_the_cpu_asks_nothing_of_a_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cuda_open, "open_device", None)
    assert choose("cpu").device == "cpu"


def test_an_onnxruntime_without_cuda_says_which_to_install(gpu: MemoryGpu):
    if onnxruntime_gpu.CUDA in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(
        GeoAwareError, match=r"no CUDAExecutionProvider.*pip install onnxruntime-gpu"
    ):
        choose("cuda")
    with pytest.raises(GeoAwareError, match="no TensorrtExecutionProvider"):
        choose("onnxruntime-tensorrt")
    choice = choose("auto")
    assert choice.device == "cpu"
    assert "no CUDAExecutionProvider" in choice.passed_over[0]


def test_an_onnxruntime_that_would_fall_back_is_refused(
    gpu: MemoryGpu, monkeypatch: pytest.MonkeyPatch
):
    """It lists CUDA, starts on the CPU and says nothing."""
    create = onnxruntime.InferenceSession
    providers = [onnxruntime_gpu.CUDA, "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda model, options, providers: create(model, options, ["CPUExecutionProvider"]),
    )
    with pytest.raises(GeoAwareError, match=r"CUDAExecutionProvider does not start: its CUDA or"):
        choose("cuda")
    assert choose("auto").device == "cpu"


def test_auto_is_cuda_where_it_starts(gpu: MemoryGpu, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnxruntime_gpu, "CUDA", "CPUExecutionProvider")
    choice = choose("auto", Bundle.open())
    assert (choice.device, choice.passed_over) == ("cuda", ())


def test_engines_are_those_of_a_bundle(gpu: MemoryGpu):
    with pytest.raises(InputError, match="runs the engines of a bundle"):
        choose("tensorrt")
    with pytest.raises(InputError, match="lite: has no tensorrt-rtx engine"):
        choose("tensorrt-rtx", Bundle.open())


def test_an_unknown_device_is_refused():
    with pytest.raises(InputError, match="no device 'gpu'; use one of auto, cpu, cuda"):
        choose("gpu")


def test_a_missing_module_names_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(tensorrt_module.MODULES, "tensorrt", "tensorrt_that_is_not_there")
    with pytest.raises(GeoAwareError, match="^tensorrt is not installed: pip install tensorrt$"):
        tensorrt_module.load("tensorrt")
