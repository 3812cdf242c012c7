from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from geoaware.export import recipe_files
from geoaware.export.build import build
from geoaware.export.request import EngineRequest, Request
from geoaware.kernels.cuda import graph as cuda_graph
from geoaware.kernels.cuda import open as cuda_open
from geoaware.runtime import Bundle
from geoaware.runtime.recipe import Recipe

from ..runtime.engines.fake_tensorrt import FakeTensorRT, install
from ..runtime.engines.memory_gpu import MemoryGpu, RecordedGraph

Built = Callable[[str], Bundle]


def quiet(_: str) -> None:
    """Report nothing."""


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """The lite recipe at a frame of 64 pixels: the same code, in a fraction of the time."""
    return recipe_files.at_side(recipe_files.load("lite"), 64)


@pytest.fixture(scope="session")
def built(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """The tiny recipe, built once in each precision."""
    folder, bundles = tmp_path_factory.mktemp("bundles"), {}

    def get(precision: str) -> Bundle:
        if precision not in bundles:
            out: Path = folder / precision
            request = Request(tiny, precision=precision, frame=64, out=out)
            bundles[precision], _ = build(request, quiet)
        return bundles[precision]

    return get


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> MemoryGpu:
    here = MemoryGpu()
    monkeypatch.setattr(cuda_open, "open_device", lambda: here)
    monkeypatch.setattr(cuda_graph, "CudaGraph", RecordedGraph)
    return here


@pytest.fixture
def tensorrt(gpu: MemoryGpu, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    return install(FakeTensorRT(gpu), "tensorrt", monkeypatch)


@pytest.fixture
def rtx(gpu: MemoryGpu, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    module = FakeTensorRT(gpu, "tensorrt_rtx", "1.7.1.116")
    return install(module, "tensorrt-rtx", monkeypatch)


@pytest.fixture
def asked(built: Built, tiny: Recipe, tmp_path: Path) -> Callable[..., Request]:
    """A request for engines of the tiny recipe, whose ONNX bundle is there already."""

    def ask(precision: str = "fp32", **engine: object) -> Request:
        folder = tmp_path / precision
        if not folder.exists():
            shutil.copytree(built(precision).path, folder)
        wanted = EngineRequest(**({"kind": "tensorrt"} | engine))
        return Request(tiny, precision=precision, frame=64, out=folder, engine=wanted)

    return ask
