"""A device asked for is that device or an error; `auto` is the best that works, and says why."""

from __future__ import annotations

import re
from pathlib import Path
from types import FunctionType

import onnxruntime
import pytest

from geoaware.kernels.cuda import open as cuda_open
from geoaware.kernels.cuda.errors import CudaError
from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.bundle import sha256_of
from geoaware.runtime.engines import onnxruntime_gpu, tensorrt_module
from geoaware.runtime.engines.choice import Choice, choose
from geoaware.runtime.errors import InputError
from geoaware.runtime.manifest import EngineKind, EngineOptions, EngineRecord, File, Plan

from .fake_tensorrt import FakeTensorRT, install
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


@pytest.mark.parametrize("device", ["cuda", "onnxruntime-tensorrt"])
def test_without_a_gpu_every_other_device_is_an_error(no_gpu: None, device: str):
    with pytest.raises(GeoAwareError, match="no NVIDIA driver: install it"):
        choose(device, Bundle.open())


@pytest.mark.parametrize("device", ["tensorrt", "tensorrt-rtx"])
def test_an_engine_that_is_not_built_is_told_before_any_look_at_a_gpu(no_gpu: None, device: str):
    with pytest.raises(InputError, match=f"has no {device} engine; build one"):
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


def test_auto_is_cuda_where_it_starts(gpu: MemoryGpu, provider: str):
    choice = choose("auto", Bundle.open())
    assert (choice.device, choice.passed_over) == ("cuda", ())


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> str:
    """A provider that starts, in the place of CUDA."""
    onnxruntime_gpu.check_provider.cache_clear()
    monkeypatch.setattr(onnxruntime_gpu, "CUDA", "CPUExecutionProvider")
    return onnxruntime_gpu.CUDA


@pytest.mark.parametrize(
    "error",
    [
        CudaError("no compiler of CUDA C++: pip install nvidia-cuda-nvrtc"),
        CudaError("the driver does not take similarity.cu"),
        OSError("libnvrtc.so.13: cannot open shared object file"),
    ],
)
def test_a_gpu_that_does_not_run_the_kernels_is_not_chosen(
    gpu: MemoryGpu, provider: str, error: Exception
):
    gpu.no_kernels = error
    assert choose("auto") == Choice("cpu", passed_over=(str(error),))
    with pytest.raises(GeoAwareError, match=re.escape(str(error))):
        choose("cuda")


@pytest.mark.parametrize("error", [OSError("libcudart.so.13: bad"), RuntimeError("no folder")])
def test_libraries_that_do_not_load_never_stop_auto(
    gpu: MemoryGpu, provider: str, error: Exception, monkeypatch: pytest.MonkeyPatch
):
    def broken() -> None:
        raise error

    monkeypatch.setattr(onnxruntime, "preload_dlls", broken)
    assert choose("auto").device == "cpu"
    with pytest.raises(GeoAwareError, match=f"does not start: {error}; pip install"):
        choose("cuda")


def test_an_onnxruntime_that_is_too_old_says_which_to_install(
    gpu: MemoryGpu, provider: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(onnxruntime, "preload_dlls")
    [reason] = choose("auto").passed_over
    assert re.search(r'too old .* "onnxruntime-gpu\[cuda,cudnn\]>=1.21"', reason)


def test_what_onnxruntime_prints_stays_off_stdout(
    gpu: MemoryGpu,
    provider: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """It prints what it cannot find; meanwhile another thread's results go to stdout."""
    chatty = FunctionType(compile("print('no cuDNN')", "chatty", "exec"), vars(onnxruntime))

    def preload() -> None:
        chatty()
        print("a result")

    monkeypatch.setattr(onnxruntime, "preload_dlls", preload)
    choose("cuda")
    assert capsys.readouterr() == ("a result\n", "no cuDNN\n")


def test_a_provider_that_started_is_not_tried_again(
    gpu: MemoryGpu, provider: str, monkeypatch: pytest.MonkeyPatch
):
    choose("cuda")
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    assert choose("auto").device == "cuda"


def test_the_engine_built_on_this_gpu_comes_before_others(
    gpu: MemoryGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = FakeTensorRT(gpu, "tensorrt", "11.0.0rc1")
    install(module, "tensorrt", monkeypatch)
    everywhere = EngineOptions(hardware_compatible=True)
    others = [
        engine(tmp_path, "tensorrt", "NVIDIA L4", "8.9", everywhere),
        engine(tmp_path, "tensorrt", "NVIDIA A100", "8.0", everywhere),
    ]
    own = engine(tmp_path, "tensorrt", gpu.name, "8.9", EngineOptions())
    assert choose("tensorrt", with_engines(tmp_path, *others, own)).record == own
    assert choose("auto", with_engines(tmp_path, *others, own)).record == own
    assert choose("auto", with_engines(tmp_path, *others)).record == others[0]


def engine(
    folder: Path, kind: EngineKind, gpu: str, capability: str, options: EngineOptions
) -> EngineRecord:
    """A proved engine of the bundle that ships, built by the version that is installed."""
    manifest = Bundle.open().manifest
    digest = tuple(file.sha256 for file in manifest.models[0].files)
    path = folder / f"{gpu}.engine"
    path.write_bytes(gpu.encode())
    file = File(name=path.name, sha256=sha256_of(path), bytes=len(gpu))
    return EngineRecord(
        kind=kind,
        version=tensorrt_module.load(kind).__version__,
        compute_capability=capability,
        gpu=gpu,
        precision="fp32",
        batches=(1,),
        options=options,
        plans=(Plan(model=digest, file=file, network={}, layers={}),),
        parity=manifest.parity,
    )


def with_engines(folder: Path, *records: EngineRecord) -> Bundle:
    """The bundle that ships, in another folder, with engines."""
    return Bundle(folder, Bundle.open().manifest.model_copy(update={"engines": records}))


def test_engines_are_those_of_a_bundle(gpu: MemoryGpu):
    with pytest.raises(InputError, match="runs the engines of a bundle"):
        choose("tensorrt")
    with pytest.raises(InputError, match="lite: has no tensorrt-rtx engine"):
        choose("tensorrt-rtx", Bundle.open())


def test_an_unknown_device_is_refused():
    with pytest.raises(InputError, match="no device 'gpu'; use one of auto, cpu, openvino, openv"):
        choose("gpu")


def test_a_missing_module_names_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(tensorrt_module.MODULES, "tensorrt", "tensorrt_that_is_not_there")
    with pytest.raises(GeoAwareError, match="^tensorrt is not installed: pip install tensorrt$"):
        tensorrt_module.load("tensorrt")
