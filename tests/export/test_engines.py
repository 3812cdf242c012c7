"""Engines are proved before they are published, and used only where they fit.

TensorRT is a fake that runs the ONNX graphs: everything on this side of its interface is real.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from geoaware.examples import PHOTOGRAPHS
from geoaware.export.build import build
from geoaware.export.request import EngineRequest, Request
from geoaware.export.verify import frames
from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.engines import open_engine
from geoaware.runtime.engines.choice import choose
from geoaware.runtime.errors import InputError
from geoaware.runtime.manifest import EngineOptions, Manifest
from geoaware.runtime.recipe import Recipe

from ..runtime.engines.fake_tensorrt import FakeTensorRT
from ..runtime.engines.memory_gpu import MemoryGpu, RecordedGraph
from .conftest import quiet


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


def test_out_of_memory_says_what_to_do_and_the_next_build_goes_on(
    tiny: Recipe, tensorrt: FakeTensorRT, tmp_path: Path
):
    request = Request(tiny, frame=64, out=tmp_path / "x", engine=EngineRequest("tensorrt"))
    tensorrt.out_of_memory = True
    with pytest.raises(GeoAwareError, match="OutOfMemory.*give it less with --workspace GB"):
        build(request, quiet)
    there = Bundle.open(request.target).verified()
    assert (there.manifest.engines, len(list(there.path.iterdir()))) == ((), 2)
    tensorrt.out_of_memory, steps = False, []
    bundle, _ = build(request, steps.append)
    assert bundle.manifest.model_copy(update={"engines": ()}) == there.manifest
    assert len(bundle.manifest.engines) == 1
    assert not [step for step in steps if "exporting" in step]


def test_a_tensorrt_that_does_not_start_says_why(
    asked: Callable[..., Request], tensorrt: FakeTensorRT
):
    def broken(logger: Any) -> None:
        logger.log(tensorrt.ILogger.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    tensorrt.Builder = broken
    with pytest.raises(GeoAwareError, match="does not start: CUDA initialization failure"):
        build(asked(), quiet)


def test_what_was_learnt_about_a_gpu_is_kept(
    asked: Callable[..., Request], tensorrt: FakeTensorRT, tmp_path: Path
):
    build(asked(), quiet)
    build(asked(batches=(2,)), quiet)
    [cache] = (tmp_path / "home" / "timing").glob("*.cache")
    assert cache.name == "8.9-NVIDIA_RTX_Test-11.4.0.106.cache"
    assert cache.read_bytes() == b"|learnt|learnt"


def test_what_cannot_be_kept_about_a_gpu_is_told_and_the_engine_is_there(
    asked: Callable[..., Request], tensorrt: FakeTensorRT, tmp_path: Path
):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "timing").write_text("no folder")
    told: list[str] = []
    bundle, _ = build(asked(), told.append)
    assert len(bundle.manifest.engines) == 1
    assert [line for line in told if "is not kept" in line]


def test_rtx_builds_for_the_gpu_it_is_on(
    asked: Callable[..., Request], rtx: FakeTensorRT, gpu: MemoryGpu
):
    """Without a name it builds for 8.0 and later; and only a plan without memory of its own can
    be recorded as a CUDA graph."""
    build(asked(kind="tensorrt-rtx"), quiet)
    assert rtx.built[0].built_for == "SM89"
    assert rtx.built[0].flags == {"REQUIRE_USER_ALLOCATION"}
    gpu.name, gpu.compute_capability = "NVIDIA H100", (9, 0)
    steps: list[str] = []
    with pytest.raises(InputError, match="NVIDIA H100 is sm_90: .* builds for sm_80, sm_89"):
        build(asked(kind="tensorrt-rtx"), steps.append)
    assert not steps


def test_force_keeps_the_other_engines_of_the_same_models(
    asked: Callable[..., Request], tensorrt: FakeTensorRT, rtx: FakeTensorRT, gpu: MemoryGpu
):
    build(asked(), quiet)
    build(asked(kind="tensorrt-rtx"), quiet)
    built = len(tensorrt.built)
    bundle, _ = build(replace(asked(), force=True), quiet)
    assert len(tensorrt.built) == built + 1
    assert [record.kind for record in bundle.manifest.engines] == ["tensorrt-rtx", "tensorrt"]
    for record in bundle.manifest.engines:
        bundle.verify_engine(record)
    other, _ = build(replace(asked(), force=True, engine=None, asked_opset=21), quiet)
    assert not other.manifest.engines


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


def test_a_manifest_whose_engines_cannot_be_is_refused(
    asked: Callable[..., Request], tensorrt: FakeTensorRT
):
    bundle, _ = build(asked(batches=(1, 8)), quiet)
    for key, value, problem in (
        ("batches", [8, 1], "do not ascend"),
        ("batches", [1, 1], "do not ascend"),
        ("file", "manifest.json", "is the manifest itself"),
        ("file", "features.onnx", "two files named features.onnx"),
    ):
        content = json.loads(bundle.manifest.model_dump_json())
        [record] = content["engines"]
        if key == "file":
            record["plans"][0]["file"]["name"] = value
        else:
            record[key] = value
        with pytest.raises(ValidationError, match=problem):
            Manifest.model_validate(content)
