"""TensorRT-RTX itself parses the exported graphs and builds engines of them, without a GPU."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from geoaware.export import recipe_files, to_onnx
from geoaware.export.build import build, prove
from geoaware.export.cli import geoexport
from geoaware.export.graphs import Graph, Taps
from geoaware.export.modules import reference_graphs
from geoaware.export.parts import resolve_all
from geoaware.export.request import EngineRequest, Request
from geoaware.export.tensorrt.builder import PlanBuilder
from geoaware.export.tensorrt.layers import check_network, count_layers
from geoaware.export.to_onnx import export
from geoaware.export.verify import ParityError
from geoaware.kernels.cuda import open as cuda_open
from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.bundle import sha256_of
from geoaware.runtime.engines import open_engine
from geoaware.runtime.engines.choice import choose
from geoaware.runtime.manifest import EngineOptions, Precision

from ..runtime.engines.memory_gpu import MemoryGpu
from .conftest import quiet
from .test_dinov2 import TAPS, config
from .test_dinov2 import DinoV2 as TransformerBackbone

tensorrt_rtx = pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx")

AHEAD = EngineRequest("tensorrt-rtx", (1, 4), architecture="8.9")
DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
OPSETS = {"fp32": 20, "fp16": 23}


def plan_of(file: Path) -> tuple[bytes, dict[str, int]]:
    builder = PlanBuilder("tensorrt-rtx", (1,), EngineOptions(), "8.9", None, quiet)
    return builder.build(file.read_bytes(), file)


@pytest.fixture(scope="module")
def ahead(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The lite that ships, with an engine built ahead of time."""
    folder = tmp_path_factory.mktemp("ahead") / "lite"
    shutil.copytree(Bundle.open().path, folder)
    request = Request(recipe_files.load("lite"), compact=True, out=folder, engine=AHEAD)
    return build(request, quiet)[0]


def test_verify_looks_at_engines_too(ahead: Bundle, tmp_path: Path):
    copy = shutil.copytree(ahead.path, tmp_path / "copy")
    (copy / ahead.manifest.engine_files[0].name).write_bytes(b"damaged")
    done = CliRunner().invoke(geoexport, ["verify", str(copy)])
    assert done.exit_code == 1
    assert "changed since it was built; build it again: geoexport build lite" in done.stderr


def test_the_bundle_that_ships_gets_an_engine_ahead_of_time(ahead: Bundle):
    [record] = ahead.manifest.engines
    [plan] = record.plans
    assert (record.version, record.compute_capability) == (tensorrt_rtx.__version__, "8.9")
    assert (record.gpu, record.parity, plan.layers) == (None, None, None)
    assert plan.network == {"fp32": 45}
    assert plan.file.bytes == ahead.file(plan.file.name).stat().st_size > 5_000_000
    assert plan.file.sha256 == sha256_of(ahead.file(plan.file.name))
    assert Bundle.open(ahead.path).verified().manifest == ahead.manifest


def test_a_half_engine_is_half(built: Callable[[str], Bundle], tmp_path: Path):
    folder = Path(shutil.copytree(built("fp16").path, tmp_path / "half"))
    tiny = built("fp16").manifest.recipe
    request = Request(tiny, precision="fp16", frame=64, out=folder, engine=AHEAD)
    bundle, _ = build(request, quiet)
    [plan] = bundle.manifest.engines[0].plans
    assert plan.network == {"fp16": 45}
    [single] = built("fp32").manifest.models
    _, types = plan_of(built("fp32").path / single.files[0].name)
    with pytest.raises(ParityError, match=r"only 0% of the engine is fp16 \(45 fp32\)"):
        check_network("features.onnx", types, "fp16")


def transformer(folder: Path, precision: Precision, opset: int) -> Path:
    torch.manual_seed(0)
    backbone = TransformerBackbone(config(70), TAPS).eval()
    taps = Taps(backbone, DTYPES[precision]).eval()
    return export(Graph("vit", taps, {"image": (3, 70, 70)}, TAPS), folder, opset)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_transformer_builds_at_the_opset_of_its_precision(tmp_path: Path, precision: Precision):
    plan, types = plan_of(transformer(tmp_path, precision, OPSETS[precision]))
    check_network("vit", types, precision)
    assert types[precision] >= 20
    assert len(plan) > 10_000


def test_weights_beside_the_graph_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(to_onnx, "EXTERNAL_FROM_BYTES", 0)
    file = transformer(tmp_path, "fp32", 20)
    weights = (tmp_path / "vit.onnx.data").stat().st_size
    plan, _ = plan_of(file)
    assert len(plan) > weights / 2 > 10_000


def test_an_unknown_operator_is_named(tmp_path: Path):
    file = transformer(tmp_path, "fp32", 20)
    content = file.read_bytes().replace(b"LayerNormalization", b"LayerNormalisation")
    builder = PlanBuilder("tensorrt-rtx", (1,), EngineOptions(), "8.9", None, quiet)
    with pytest.raises(GeoAwareError, match=r"does not take it: .*LayerNormalisation"):
        builder.build(content, file)


INTERRUPTED = """
import os, signal, threading
from geoaware.export.tensorrt.builder import PlanBuilder
from geoaware.runtime.bundle import Bundle
from geoaware.runtime.manifest import EngineOptions
file = Bundle.open().file("features.onnx")
content = file.read_bytes()
builder = PlanBuilder("tensorrt-rtx", (1, 8), EngineOptions(), "7.5", None, print)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    builder.build(content, file)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_stops_a_build():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["interrupted"], done.stderr


def test_an_engine_needs_a_gpu_to_be_inspected(ahead: Bundle, monkeypatch: pytest.MonkeyPatch):
    """So what it computes in is told by the network that was built, until it is proved."""
    try:
        cuda_open.open_device()
    except Exception:
        monkeypatch.setattr(cuda_open, "open_device", MemoryGpu)
    else:
        pytest.skip("there is a GPU")
    [model] = ahead.manifest.models
    [record] = ahead.manifest.engines
    with pytest.raises(GeoAwareError, match=r"\.engine: cannot be loaded: .*CUDA driver"):
        open_engine(ahead.path, model, "tensorrt-rtx", record=record)
    with pytest.raises(GeoAwareError, match=f"geoexport prove {ahead.path}"):
        choose("tensorrt-rtx", ahead)
    with pytest.raises(GeoAwareError, match=r"cannot be loaded: .*CUDA driver"):
        prove(ahead, {}, quiet)


@pytest.mark.parametrize(
    ("information", "message"),
    [
        ('{"Layers": ["conv", "relu"]}', "does not tell the layers' types"),
        ('{"Layers": []}', "does not tell the layers' types"),
        ("", "the engine inspector's words"),
    ],
)
def test_an_inspector_that_tells_nothing_is_an_error(information: str, message: str):
    with pytest.raises(GeoAwareError, match=message):
        count_layers(information, "fp32")


def layer(given: dict[str, str], taken: dict[str, str] | None = None) -> dict[str, object]:
    return {"LayerType": "kgen", "Outputs": [given]} | ({"Inputs": [taken]} if taken else {})


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"Format/Datatype": "Row major linear FP16 format"}, "fp16"),
        ({"Format": "Row major linear", "Datatype": "Half"}, "fp16"),
        ({"Format": "Row major linear", "Datatype": "BFloat16"}, "bf16"),
        ({"Format/Datatype": "Row major linear BF16 format"}, "bf16"),
        ({"Format": "Row major linear INT8 format (kLINEAR)", "Datatype": "Int64"}, "other"),
        ({"Format": "Row major linear FP32 format"}, "fp32"),
    ],
)
def test_the_type_of_a_layer_is_in_the_inspectors_words(given: dict[str, str], kind: str):
    assert count_layers(json.dumps({"Layers": [layer(given)]}), "fp32") == {kind: 1}


def test_a_layer_in_single_may_take_weights_that_are_stored_as_half():
    half, single = {"Datatype": "Half"}, {"Datatype": "Float"}
    information = json.dumps({"Layers": [layer(single, half), layer(half, single)]})
    assert count_layers(information, "fp32") == {"fp16": 1, "fp32": 1}
    assert count_layers(information, "fp16") == {"fp16": 2}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--for", "sm_90"], 2, "--for sm_90: tensorrt_rtx"),
        (["--for", "ada"], 2, "write an architecture such as sm_89"),
        (["--batch", "0"], 2, "write batch sizes such as 1,8"),
        (["--batch", "1;8"], 2, "write batch sizes such as 1,8"),
        (["--precision", "int8"], 2, "int8 is not offered for engines"),
        (["--version-compatible"], 2, "--version-compatible is for --tensorrt"),
        (["--hardware-compatible"], 2, "name it with --for"),
        (["--tensorrt"], 2, "exclude each other"),
    ],
)
def test_mistakes_get_one_line_before_any_work(
    arguments: list[str], status: int, message: str, tmp_path: Path
):
    command = ["build", "lite", "--engine", "tensorrt-rtx", "--out", str(tmp_path / "x")]
    result = CliRunner().invoke(geoexport, [*command, *arguments])
    assert (result.exit_code, result.stdout) == (status, "")
    errors = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert message in errors[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["build", "--batch", "8"], 2, "options of engines go with --tensorrt"),
        (["build", "--tensorrt", "--for", "sm_89"], 2, "--for is for --engine tensorrt-rtx"),
        (["prove", "nope"], 2, "not built"),
    ],
)
def test_mistakes_without_an_engine_get_one_line(arguments: list[str], status: int, message: str):
    result = CliRunner().invoke(geoexport, arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert message in result.stderr


def test_without_a_gpu_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def none_there() -> None:
        raise cuda_open.CudaError("no NVIDIA driver")

    monkeypatch.setattr(cuda_open, "open_device", none_there)
    command = ["build", "lite", "--engine", "tensorrt-rtx", "--out", str(tmp_path / "x")]
    result = CliRunner().invoke(geoexport, command)
    assert result.exit_code == 1
    assert "builds on the GPU: no NVIDIA driver; without one, build ahead" in result.stderr
    assert "resolving weights" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("recipe", sorted(recipe_files.names()))
def test_every_recipe_builds_at_full_size(recipe: str, precision: Precision, tmp_path: Path):
    content = recipe_files.load(recipe)
    request = Request(content, precision=precision, engine=EngineRequest("tensorrt-rtx"))
    weights = resolve_all(content, {}, seed=0)
    for part in reference_graphs(content, weights, DTYPES[precision]):
        file = export(part, tmp_path, request.opset)
        _, types = plan_of(file)
        check_network(file.name, types, precision)
