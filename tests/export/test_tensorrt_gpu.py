"""Engines on a GPU: built, inspected, proved and run, by whichever kind is installed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geoaware.export.build import build, prove
from geoaware.export.request import EngineRequest, Request
from geoaware.export.tensorrt.builder import check_target
from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.engines import open_engine
from geoaware.runtime.engines.choice import choose
from geoaware.runtime.engines.gpu import architecture, current
from geoaware.runtime.engines.tensorrt_module import load
from geoaware.runtime.manifest import EngineKind, Precision

from .conftest import quiet

pytestmark = pytest.mark.gpu


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def kind(request: pytest.FixtureRequest) -> EngineKind:
    """A kind of engine that can be built on this machine's GPU."""
    try:
        gpu, module = current(), load(request.param)
        if request.param == "tensorrt-rtx":
            check_target(module, architecture(gpu))
    except GeoAwareError as problem:
        pytest.skip(str(problem))
    return request.param


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_proves_itself_on_the_gpu(
    built: Callable[[str], Bundle], kind: EngineKind, precision: Precision, tmp_path: Path
):
    """It is inspected, compared with PyTorch, and runs, from its third run on as a graph."""
    source = built(precision)
    folder = Path(shutil.copytree(source.path, tmp_path / "bundle"))
    asked = EngineRequest(kind, (1, 4))
    recipe = source.manifest.recipe
    request = Request(recipe, precision=precision, frame=64, out=folder, engine=asked)
    bundle, _ = build(request, quiet)
    [record] = bundle.manifest.engines
    assert record.parity is not None
    assert record.plans[0].layers is not None
    assert record.plans[0].layers[precision] > 0
    choice = choose(kind, bundle)
    [model] = bundle.manifest.models
    engine = open_engine(folder, model, kind, record=choice.record)
    images = np.random.default_rng(0).random((3, 3, 64, 64), np.float32)
    expected = open_engine(folder, model, "cpu").run({"image": images})["descriptors"]
    for _ in range(4):
        found = engine.run({"image": images})["descriptors"]
        assert np.einsum("nhwc,nhwc->nhw", found, expected).min() > 0.995


def test_an_engine_built_ahead_of_time_proves_itself_on_its_gpu(
    built: Callable[[str], Bundle], kind: EngineKind, tmp_path: Path
):
    if kind != "tensorrt-rtx":
        pytest.skip("only TensorRT-RTX builds ahead of time")
    folder = Path(shutil.copytree(built("fp32").path, tmp_path / "bundle"))
    asked = EngineRequest(kind, architecture=architecture(current()))
    request = Request(built("fp32").manifest.recipe, frame=64, out=folder, engine=asked)
    proved = prove(build(request, quiet)[0], {}, quiet)
    assert choose(kind, proved).record == proved.manifest.engines[0]
