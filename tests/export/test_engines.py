"""Engines are proved before they are published, and used only where they fit.

TensorRT is a fake that runs the ONNX graphs: everything on this side of its interface is real.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from geoaware.examples import PHOTOGRAPHS
from geoaware.export.build import build, prove
from geoaware.export.request import EngineRequest, Request
from geoaware.export.verify import ParityError, frames
from geoaware.kernels.cuda import graph as cuda_graph
from geoaware.kernels.cuda import open as cuda_open
from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.engines import open_engine
from geoaware.runtime.engines.choice import choose
from geoaware.runtime.manifest import EngineOptions
from geoaware.runtime.recipe import Recipe

from ..runtime.engines.fake_tensorrt import FakeTensorRT, install
from ..runtime.engines.memory_gpu import MemoryGpu, RecordedGraph
from .conftest import quiet

Built = Callable[[str], Bundle]


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


@pytest.mark.parametrize("version", ["10.16.1.11", "11.4.0.106"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_is_added_with_its_whole_key_and_its_proof(
    asked: Callable[..., Request], tensorrt: FakeTensorRT, precision: str, version: str
):
    tensorrt.__version__ = version
    request = asked(precision, batches=(1, 3), options=EngineOptions(workspace_gb=2))
    onnx_file = (request.target / "features.onnx").read_bytes()
    before = Bundle.open(request.target).manifest
    bundle, new = build(request, quiet)
    assert new
    assert (request.target / "features.onnx").read_bytes() == onnx_file
    assert bundle.manifest.model_copy(update={"engines": ()}) == before
    assert bundle.manifest.hash() == before.hash()
    [record] = Bundle.open(request.target).manifest.engines
    assert (record.kind, record.version, record.precision) == ("tensorrt", version, precision)
    assert (record.gpu, record.compute_capability) == ("NVIDIA RTX Test", "8.9")
    assert (record.batches, record.options.workspace_gb) == ((1, 3), 2)
    [plan] = record.plans
    assert plan.model == tuple(file.sha256 for file in before.models[0].files)
    assert plan.network == {precision: 45}
    assert plan.layers[precision] > 80
    assert record.parity.images == 4
    assert record.parity.cosine_min == pytest.approx(before.parity.cosine_min, abs=1e-4)
    for part in ("features", f"tensorrt-{version}", "sm_89", "NVIDIA-RTX-Test", precision):
        assert part in plan.file.name
    config = tensorrt.built[-1]
    assert (config.workspace, config.flags) == (2 * 2**30, set())


def test_a_whole_build_publishes_models_and_engines_together(
    tiny: Recipe, tensorrt: FakeTensorRT, tmp_path: Path
):
    request = Request(tiny, out=tmp_path / "new", engine=EngineRequest("tensorrt"))
    bundle, _ = build(request, quiet)
    names = {file.name for file in (*bundle.manifest.files, *bundle.manifest.engine_files)}
    assert {path.name for path in bundle.path.iterdir()} == names | {"manifest.json"}
    assert build(request, quiet) == (bundle, False)


def test_an_engine_runs_and_repeats_itself_as_a_graph(
    asked: Callable[..., Request], tensorrt: FakeTensorRT, tiny: Recipe
):
    bundle, _ = build(asked(batches=(1, 2)), quiet)
    choice = choose("tensorrt", bundle)
    [model] = bundle.manifest.models
    engine = open_engine(bundle.path, model, "tensorrt", record=choice.record)
    truth = open_engine(bundle.path, model, "cpu")
    images = np.concatenate([frames(tiny, each)[64].numpy() for each in PHOTOGRAPHS[:3]])
    expected = truth.run({"image": images})["descriptors"]
    graphs = RecordedGraph.made
    for _ in range(4):
        found = engine.run({"image": images})["descriptors"]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert RecordedGraph.made > graphs


def test_asking_again_changes_nothing_and_other_options_replace_it(
    asked: Callable[..., Request], tensorrt: FakeTensorRT
):
    first, _ = build(asked(), quiet)
    assert build(asked(), quiet) == (first, False)
    second, new = build(asked(batches=(1, 2)), quiet)
    assert new
    assert [record.batches for record in second.manifest.engines] == [(1, 2)]
    assert len(list(second.path.glob("*.engine"))) == 1


def test_engines_of_other_gpus_and_kinds_stay(
    asked: Callable[..., Request], tensorrt: FakeTensorRT, rtx: FakeTensorRT, gpu: MemoryGpu
):
    build(asked(), quiet)
    build(asked(kind="tensorrt-rtx"), quiet)
    gpu.name, gpu.compute_capability = "NVIDIA H100", (9, 0)
    bundle, _ = build(asked(), quiet)
    assert [record.target for record in bundle.manifest.engines] == [
        ("tensorrt", "8.9", "NVIDIA RTX Test"),
        ("tensorrt-rtx", "8.9", "NVIDIA RTX Test"),
        ("tensorrt", "9.0", "NVIDIA H100"),
    ]
    for record in bundle.manifest.engines:
        bundle.verify_engine(record)
    assert choose("auto", bundle).record == bundle.manifest.engines[2]


def test_a_damaged_engine_is_built_again(asked: Callable[..., Request], tensorrt: FakeTensorRT):
    bundle, _ = build(asked(), quiet)
    [file] = bundle.manifest.engine_files
    bundle.file(file.name).write_bytes(b"damaged")
    again, new = build(asked(), quiet)
    assert new
    again.verify_engine(again.manifest.engines[0])


def spoil(model: onnx.ModelProto) -> None:
    """Change the first filter of the first convolution of block 4."""
    node = next(
        node
        for node in model.graph.node
        if node.op_type == "Conv"
        and any("backbone.blocks.4" in entry.value for entry in node.metadata_props)
    )
    weight = next(w for w in model.graph.initializer if w.name == node.input[1])
    values = numpy_helper.to_array(weight).copy()
    values[0] += 1
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))


def test_a_wrong_engine_is_not_published_and_its_first_wrong_layer_is_named(
    asked: Callable[..., Request], tensorrt: FakeTensorRT
):
    tensorrt.spoil = spoil
    request = asked()
    before = sorted(path.name for path in request.target.iterdir())
    with pytest.raises(
        ParityError,
        match=r"tensorrt engine is not.*first diverging layer: features: .*blocks\.4\.bn0"
        r".*after .*blocks\.[34]\S*, which agrees",
    ):
        build(request, quiet)
    assert sorted(path.name for path in request.target.iterdir()) == before
    assert len(tensorrt.built) < 6, "several layers are looked at in each engine"


def test_an_engine_that_is_silently_single_is_refused(
    asked: Callable[..., Request], tensorrt: FakeTensorRT
):
    tensorrt.whole_in_single = True
    with pytest.raises(ParityError, match=r"\.engine: only 0% of the engine is fp16 \(\d+ fp32\)"):
        build(asked("fp16"), quiet)


def test_out_of_memory_says_what_to_do(asked: Callable[..., Request], tensorrt: FakeTensorRT):
    tensorrt.out_of_memory = True
    with pytest.raises(GeoAwareError, match="OutOfMemory.*give it less with --workspace GB"):
        build(asked(), quiet)


def test_a_tensorrt_that_does_not_start_says_why(
    asked: Callable[..., Request], tensorrt: FakeTensorRT
):
    def broken(logger: Any) -> None:
        logger.log(tensorrt.ILogger.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    tensorrt.Builder = broken
    with pytest.raises(GeoAwareError, match="does not start: CUDA initialization failure"):
        build(asked(), quiet)


def test_a_bundle_is_there_whatever_its_opset_unless_one_is_needed(
    tiny: Recipe, built: Built, tmp_path: Path
):
    folder = Path(shutil.copytree(built("fp32").path, tmp_path / "other"))
    bundle = Bundle.open(folder)
    model = bundle.manifest.models[0].model_copy(update={"opset": 23})
    there = bundle.manifest.model_copy(update={"models": (model,)})
    weights = {each.part: each for each in there.weights}
    Request(tiny, out=folder).check_same(weights, there)
    with pytest.raises(GeoAwareError, match="differs in opset"):
        Request(tiny, out=folder, engine=EngineRequest("tensorrt")).check_same(weights, there)


def test_what_was_learnt_about_a_gpu_is_kept(
    asked: Callable[..., Request], tensorrt: FakeTensorRT, tmp_path: Path
):
    build(asked(), quiet)
    build(asked(batches=(2,)), quiet)
    [cache] = (tmp_path / "home" / "timing").glob("*.cache")
    assert cache.name == "8.9-NVIDIA_RTX_Test-11.4.0.106.cache"
    assert cache.read_bytes() == b"|learnt|learnt"


def test_an_engine_built_ahead_of_time_is_used_once_it_is_proved(
    asked: Callable[..., Request], rtx: FakeTensorRT, gpu: MemoryGpu
):
    bundle, _ = build(asked(kind="tensorrt-rtx", architecture="8.9"), quiet)
    [record] = bundle.manifest.engines
    assert (record.gpu, record.parity, record.plans[0].layers) == (None, None, None)
    with pytest.raises(GeoAwareError, match=f"prove it here: geoexport prove {bundle.path}"):
        choose("tensorrt-rtx", bundle)
    assert "geoexport prove" in choose("auto", bundle).passed_over[0]
    proved = prove(bundle, {}, quiet)
    assert choose("tensorrt-rtx", proved).record.parity.cosine_min > 0.9999
    assert choose("tensorrt-rtx", Bundle.open(bundle.path)).record.plans[0].layers
    with pytest.raises(GeoAwareError, match="has no unproved engine for NVIDIA RTX Test"):
        prove(proved, {}, quiet)


def test_a_wrong_engine_stays_unproved(asked: Callable[..., Request], rtx: FakeTensorRT):
    rtx.spoil = spoil
    bundle, _ = build(asked(kind="tensorrt-rtx", architecture="8.9"), quiet)
    with pytest.raises(ParityError, match="first diverging layer"):
        prove(bundle, {}, quiet)
    rtx.__version__ = "1.8.0.1"
    with pytest.raises(GeoAwareError, match=r"version 1\.7\.1\.116, and 1\.8\.0\.1 is installed"):
        prove(bundle, {}, quiet)
    assert Bundle.open(bundle.path).manifest == bundle.manifest


def test_engines_of_transformers_have_no_attention_in_single(tiny: Recipe):
    from geoaware.export import recipe_files

    recipe = recipe_files.load("dinov2-s")
    engine = EngineRequest("tensorrt")
    assert Request(recipe).opset == 23
    assert Request(recipe, engine=engine).opset == 20
    assert Request(recipe, engine=engine, precision="fp16").opset == 23


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "12.0"}, r"was built by version 12\.0, and 11\.4\.0\.106 is installed"),
        ({"version": "10.16.1.11"}, r"built by version 10\.16.*build it again: geoexport build"),
        ({"compute_capability": "9.0"}, r"is for compute capability 9\.0, and this is 8\.9"),
        ({"gpu": "NVIDIA L4"}, "is for NVIDIA L4, and this is NVIDIA RTX Test"),
        ({"parity": None}, "never compared with PyTorch"),
    ],
)
def test_an_engine_that_does_not_fit_is_refused_with_the_command_that_mends_it(
    asked: Callable[..., Request],
    tensorrt: FakeTensorRT,
    change: dict[str, object],
    message: str,
):
    bundle, _ = build(asked(batches=(1, 2)), quiet)
    record = bundle.manifest.engines[0].model_copy(update=change)
    changed = with_record(bundle, record)
    with pytest.raises(GeoAwareError, match=message) as error:
        choose("tensorrt", changed)
    if "parity" not in change:
        assert str(error.value).endswith(
            f"geoexport build lite --frame 64 --out {bundle.path} --engine tensorrt --batch 1,2"
        )
    choice = choose("auto", changed)
    assert choice.device == "cpu"
    assert str(error.value) in choice.passed_over


def with_record(bundle: Bundle, record: object) -> Bundle:
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"engines": (record,)}))


def test_compatible_engines_fit_later_versions_and_gpus(
    asked: Callable[..., Request], tensorrt: FakeTensorRT, gpu: MemoryGpu
):
    options = EngineOptions(version_compatible=True, hardware_compatible=True)
    bundle, _ = build(asked(options=options), quiet)
    assert tensorrt.built[0].flags == {"VERSION_COMPATIBLE"}
    assert tensorrt.built[0].hardware_compatibility_level.name == "AMPERE_PLUS"
    gpu.name, gpu.compute_capability, tensorrt.__version__ = "NVIDIA H100", (9, 0), "11.5.0.1"
    choice = choose("tensorrt", bundle)
    assert choice.record == bundle.manifest.engines[0]
    open_engine(bundle.path, bundle.manifest.models[0], "tensorrt", record=choice.record)
    tensorrt.__version__ = "11.3.0.9"
    with pytest.raises(GeoAwareError, match=r"by version 11\.4.*--version-compatible"):
        choose("tensorrt", bundle)
    gpu.compute_capability, tensorrt.__version__ = (7, 5), "11.4.0.106"
    with pytest.raises(GeoAwareError, match=r"is for compute capability 8\.0 and later"):
        choose("tensorrt", bundle)


def test_changed_files_are_refused_and_the_cpu_does_not_mind(
    asked: Callable[..., Request], tensorrt: FakeTensorRT
):
    bundle, _ = build(asked(), quiet)
    [record] = bundle.manifest.engines
    [file] = bundle.manifest.engine_files
    bundle.file(file.name).write_bytes(b"changed")
    with pytest.raises(GeoAwareError, match=r"\.engine: changed.*build it again: geoexport build"):
        choose("tensorrt", bundle)
    assert choose("cpu", bundle.verified()).device == "cpu"
    other = record.plans[0].model_copy(update={"model": ("0" * 64,)})
    changed = with_record(bundle, record.model_copy(update={"plans": (other,)}))
    with pytest.raises(GeoAwareError, match=r"built from another features\.onnx; build it again"):
        choose("tensorrt", changed)


def test_a_bundle_without_the_engine_says_how_to_build_it(built: Built, tensorrt: FakeTensorRT):
    bundle = built("fp32")
    with pytest.raises(GeoAwareError, match=r"has no tensorrt engine.*--engine tensorrt$"):
        choose("tensorrt", bundle)
    with pytest.raises(GeoAwareError, match=r"lite --compact --engine tensorrt$"):
        choose("tensorrt", Bundle.open())
