"""Builds are verified before they are published, and published whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from geoaware.examples import PHOTOGRAPHS
from geoaware.export import build as build_module
from geoaware.export import recipe_files, to_onnx, verify
from geoaware.export.build import build, reverify
from geoaware.export.modules import reference_graphs
from geoaware.export.parts import resolve_all
from geoaware.export.publish import building, publish
from geoaware.export.request import Request
from geoaware.export.verify import TOLERANCES, ParityError, measure, prove_bfloat16
from geoaware.runtime import Bundle, GeoAwareError, Pipeline
from geoaware.runtime.engines.openvino import has_bfloat16
from geoaware.runtime.manifest import Parity
from geoaware.runtime.recipe import Recipe

from .conftest import quiet

Built = Callable[[str], Bundle]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_precision_is_verified_and_says_what_it_is(built: Built, precision: str):
    bundle = built(precision)
    [model] = bundle.manifest.models
    parity, tolerance = bundle.manifest.parity, TOLERANCES[model.precision, model.stored_as]
    assert (model.precision, model.stored_as) == (precision, precision)
    assert parity.images == 4
    assert parity.cosine_min >= tolerance.cosine_min
    assert parity.near_agreement >= tolerance.near_agreement
    if precision == "fp32":
        assert parity.relative_error <= 1e-4
        assert parity.match_agreement >= 0.999
    assert bundle.manifest.weights[0].licence == "Apache-2.0"
    assert Pipeline.load(bundle.path).extract(PHOTOGRAPHS[0]).descriptors.shape == (4, 4, 496)


@pytest.mark.skipif(not has_bfloat16(), reason="the processor has no bfloat16")
def test_fp16_is_proved_in_bfloat16_too(
    built: Built, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
):
    reference = reference_graphs(tiny, resolve_all(tiny, {}))
    half, whole = built("fp16"), built("fp32")
    tolerance = TOLERANCES["fp16", "fp16"]

    def proved(bundle: Bundle, least: float) -> Parity | None:
        changed = replace(tolerance, cosine_min=least, cosine_mean=least, near_agreement=0)
        monkeypatch.setitem(TOLERANCES, ("fp16", "fp16"), changed)
        return prove_bfloat16(tiny, reference, bundle.path, bundle.manifest.models, said.append)

    said: list[str] = []
    found = proved(half, 0.9)
    assert found
    assert half.manifest.parity.cosine_min > found.cosine_min > 0.9
    assert proved(half, 0.999999) is None
    assert said[-1].startswith("not for bfloat16: cosine_min")
    assert proved(whole, 0.9) is None


def test_a_build_outlives_an_openvino_that_cannot_load_it(
    built: Built, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
):
    def cannot(*_: object) -> Parity:
        raise GeoAwareError("features.onnx: OpenVINO 2026.4 cannot load it")

    half, said = built("fp16"), []
    monkeypatch.setattr(verify, "has_bfloat16", lambda: True)
    monkeypatch.setattr(verify, "measure", cannot)
    models = half.manifest.models
    assert verify.prove_bfloat16(tiny, (), half.path, models, said.append) is None
    assert said[-1] == "not for bfloat16: features.onnx: OpenVINO 2026.4 cannot load it"


def initializer_types(bundle: Bundle) -> set[int]:
    graph = onnx.load(bundle.path / "features.onnx").graph
    return {tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 4}


def test_graphs_hold_the_precision_they_claim(built: Built):
    kinds = onnx.TensorProto
    assert initializer_types(built("fp32")) == {kinds.FLOAT}
    assert initializer_types(built("fp16")) == {kinds.FLOAT16}
    assert kinds.INT8 in initializer_types(built("int8"))


def test_the_batch_is_free_and_the_graph_takes_images(built: Built):
    import onnxruntime

    bundle = built("fp32")
    [model] = bundle.manifest.models
    assert model.inputs[0].model_dump() == {
        "name": "image", "shape": ("batch", 3, 64, 64), "dtype": "float32"
    }  # fmt: skip
    session = onnxruntime.InferenceSession(bundle.path / "features.onnx")
    images = np.random.default_rng(0).random((3, 3, 64, 64), np.float32)
    [together] = session.run(None, {"image": images})
    [alone] = session.run(None, {"image": images[1:2]})
    assert together.shape == (3, 4, 4, 496)
    np.testing.assert_allclose(together[1:2], alone, atol=1e-5)


def test_weights_stored_as_half_compute_in_single(tiny: Recipe, tmp_path: Path):
    bundle, _ = build(Request(tiny, compact=True, out=tmp_path / "compact"), quiet)
    [model] = bundle.manifest.models
    assert (model.precision, model.stored_as) == ("fp32", "fp16")
    assert model.files[0].bytes < 5_000_000


def test_frames_of_two_sides_make_a_bundle_of_three_models(tiny: Recipe, tmp_path: Path):
    content = tiny.model_dump()
    content["name"] = "two-sides"
    content["backbones"] = [content["backbones"][0], content["backbones"][0] | {"side": 96}]
    bundle, _ = build(Request(Recipe.model_validate(content), out=tmp_path / "two"), quiet)
    assert [model.files[0].name for model in bundle.manifest.models] == [
        "backbone0.onnx", "backbone1.onnx", "fusion.onnx"
    ]  # fmt: skip
    features = Pipeline.load(bundle.path).extract(PHOTOGRAPHS[0])
    assert features.descriptors.shape == (4, 4, 992)
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=2), 1, atol=1e-5)


def test_weights_beside_the_graph_belong_to_the_bundle(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(to_onnx, "EXTERNAL_FROM_BYTES", 0)
    for precision in ("fp32", "int8"):
        out = tmp_path / precision
        bundle, _ = build(Request(tiny, precision=precision, out=out), quiet)
        assert len(bundle.manifest.models[0].files) == 2
    sizes = []
    for compact in (False, True):
        bundle, _ = build(Request(tiny, compact=compact, out=out, force=True), quiet)
        sizes.append(bundle.manifest.models[0].files[1].bytes)
    assert sizes[1] < 0.6 * sizes[0]
    assert [file.name for file in bundle.manifest.models[0].files] == [
        "features.onnx", "features.onnx.data"
    ]  # fmt: skip
    (bundle.path / "features.onnx.data").write_bytes(b"")
    with pytest.raises(GeoAwareError, match=r"features\.onnx\.data: changed"):
        Pipeline.load(bundle.path)


def spoil(file: Path) -> None:
    """Change the first filter of the first convolution of block 4."""
    model = onnx.load(file)
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
    onnx.save(model, file)


def test_a_wrong_model_is_not_published_and_its_first_wrong_layer_is_named(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    export = to_onnx.export

    def export_wrongly(*arguments: object) -> Path:
        path = export(*arguments)
        spoil(path)
        return path

    monkeypatch.setattr(build_module.to_onnx, "export", export_wrongly)
    with pytest.raises(ParityError, match=r"first diverging layer: features: .*blocks\.4\."):
        build(Request(tiny, out=tmp_path / "wrong"), quiet)
    assert [path.name for path in tmp_path.iterdir()] == [".wrong.lock"]


def test_verifying_again_gives_the_figures_of_the_manifest(built: Built):
    bundle = built("fp32")
    again = reverify(bundle, {}, quiet)
    assert again.cosine_min == pytest.approx(bundle.manifest.parity.cosine_min, abs=1e-6)
    assert again.match_agreement == bundle.manifest.parity.match_agreement


def test_verifying_needs_the_weights_it_was_built_from(built: Built, tmp_path: Path):
    other = tmp_path / "other.pth"
    other.write_bytes(b"other")
    with pytest.raises(GeoAwareError, match="not the efficientnet-lite0 weights this bundle"):
        reverify(built("fp32"), {"efficientnet-lite0": str(other)}, quiet)


def test_a_bundle_that_is_there_is_kept_unless_forced(built: Built, tiny: Recipe):
    bundle = built("fp32")
    same = Request(tiny, frame=64, out=bundle.path)
    again, new = build(same, quiet)
    assert (again.manifest, new) == (bundle.manifest, False)
    with pytest.raises(GeoAwareError, match="the bundle there differs in opset.*--force"):
        build(Request(tiny, frame=64, out=bundle.path, asked_opset=21), quiet)


def test_a_grid_finer_than_the_taps_builds(tiny: Recipe, tmp_path: Path):
    """Upsampled cells are nearly alike: rounding decides between them, and that is no error."""
    bundle, _ = build(Request(tiny.model_copy(update={"grid": 16}), out=tmp_path / "fine"), quiet)
    assert bundle.manifest.parity.match_agreement >= 0.999


def test_a_damaged_bundle_is_built_again(built: Built, tiny: Recipe, tmp_path: Path):
    folder = Path(shutil.copytree(built("fp32").path, tmp_path / "damaged"))
    (folder / "features.onnx").write_bytes(b"damaged")
    bundle, new = build(Request(tiny, frame=64, out=folder), quiet)
    assert new
    assert bundle.verified().manifest.parity == built("fp32").manifest.parity


def test_a_head_that_nobody_knows_is_refused(tiny: Recipe, tmp_path: Path):
    with pytest.raises(GeoAwareError, match="unknown head 'wishful'; known: geoaware-sc"):
        build(Request(tiny.model_copy(update={"head": "wishful"}), out=tmp_path / "x"), quiet)


def test_a_bundle_from_a_local_file_asks_for_it_to_be_verified(tiny: Recipe, tmp_path: Path):
    local = tmp_path / "mine.pth"
    shutil.copy(resolve_all(tiny, {})["efficientnet-lite0"].files["model"], local)
    sources = {"efficientnet-lite0": str(local)}
    bundle, _ = build(Request(tiny, weights=sources, out=tmp_path / "local"), quiet)
    [record] = bundle.manifest.weights
    assert (record.source, record.licence) == ("local:mine.pth", "Apache-2.0")
    with pytest.raises(GeoAwareError, match=r"the local file mine\.pth; name it: --weights eff"):
        reverify(bundle, {}, quiet)
    assert reverify(bundle, sources, quiet) == bundle.manifest.parity


def test_a_name_that_grows_too_long_is_refused(tiny: Recipe):
    recipe = tiny.model_copy(update={"name": "n" * 62})
    with pytest.raises(GeoAwareError, match="too long for the name of a bundle"):
        build(Request(recipe, precision="fp16"), quiet)


def test_nothing_but_a_bundle_is_ever_replaced(tiny: Recipe, tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(GeoAwareError, match=r"holds thesis\.tex, which is no part of a bundle"):
        build(Request(tiny, out=tmp_path, force=True), quiet)
    with pytest.raises(GeoAwareError, match="is a file"):
        build(Request(tiny, out=tmp_path / "thesis.tex", force=True), quiet)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_weights_for_parts_the_recipe_lacks_are_refused(tiny: Recipe):
    with pytest.raises(GeoAwareError, match="has no such part; it has efficientnet-lite0"):
        resolve_all(tiny, {"dinov2-b": "somewhere"})


def test_the_name_tells_side_and_precision(tiny: Recipe):
    assert Request(tiny).name == "lite"
    assert Request(tiny, precision="fp16", frame=64).name == "lite-64px-fp16"


# --- interruptions -------------------------------------------------------------------------


def start(home: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "geoaware.export", "build", "lite", "--frame", "64", *more]
    environment = os.environ | {"GEOAWARE_HOME": str(home), "COLUMNS": "200"}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def wait_for_build_folder(bundles: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(bundles.glob(".lite-64px.tmp/new/*.onnx")):
            return
        time.sleep(0.02)
    raise AssertionError("the build wrote nothing in a minute")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_leaves_the_old_bundle_and_the_next_one_cleans_up(
    built: Built, tmp_path: Path, how: signal.Signals
):
    home, bundles = tmp_path / "home", tmp_path / "home" / "bundles"
    bundles.mkdir(parents=True)
    old = bundles / "lite-64px"
    subprocess.run(["cp", "-r", built("fp32").path, old], check=True)
    before = (old / "manifest.json").read_bytes()

    process = start(home, "--force")
    wait_for_build_folder(bundles)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert (old / "manifest.json").read_bytes() == before
    Pipeline.load(old)
    if how == signal.SIGINT:
        assert "geoexport: error: interrupted" in errors
        assert not list(bundles.glob(".*.tmp"))
    else:
        assert list(bundles.glob(".*.tmp"))
        with building(old, quiet):
            assert not list(bundles.glob(".*.tmp/new/*"))


def test_two_builds_at_once_make_one_bundle(tmp_path: Path):
    processes = [start(tmp_path, "--json") for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    first, second = (json.loads(output) for output in outputs)
    assert first == second, "the second waited, and found what the first had built"
    Pipeline.load(tmp_path / "bundles" / "lite-64px")


def test_what_fails_while_publishing_leaves_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "manifest.json").write_text("old")
    rename, calls = Path.rename, []

    def crash(self: Path, to: Path) -> Path:
        calls.append(self)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return rename(self, to)

    with pytest.raises(OSError, match="No space"), building(target, quiet) as folder:
        (folder / "manifest.json").write_text("new")
        monkeypatch.setattr(Path, "rename", crash)
        publish(folder, target)
    assert (target / "manifest.json").read_text() == "old"
    assert not (tmp_path / ".bundle.tmp").exists()


def test_a_build_after_a_crash_while_publishing_puts_the_old_bundle_back(tmp_path: Path):
    target = tmp_path / "bundle"
    for folder in ("new", "replaced"):
        (tmp_path / ".bundle.tmp" / folder).mkdir(parents=True)
        (tmp_path / ".bundle.tmp" / folder / "manifest.json").write_text(folder)
    with building(target, quiet) as folder:
        assert (target / "manifest.json").read_text() == "replaced"
        assert not list(folder.iterdir())
    assert (target / "manifest.json").read_text() == "replaced"


def test_a_bundle_is_published_twice_by_one_build(tmp_path: Path):
    """The models, then engines beside them."""
    target = tmp_path / "bundle"
    with building(target, quiet) as folder:
        for content in ("models", "engines"):
            folder.mkdir(exist_ok=True)
            (folder / "manifest.json").write_text(content)
            publish(folder, target)
            assert (target / "manifest.json").read_text() == content


# --- what ships ----------------------------------------------------------------------------


def test_the_shipped_bundle_is_what_the_build_gives():
    """Its descriptors are those of the recipe and the weights, to 1e-3 in cosine distance."""
    shipped = Bundle.open().verified()
    recipe = recipe_files.load("lite")
    assert shipped.manifest.recipe == recipe
    reference = reference_graphs(recipe, resolve_all(recipe, {}))
    parity = measure(recipe, reference, shipped.path, shipped.manifest.models)
    assert 1 - parity.cosine_min <= 1e-3


def test_a_fresh_build_equals_the_shipped_bundle(tmp_path: Path):
    request = Request(recipe_files.load("lite"), compact=True, out=tmp_path / "fresh")
    fresh = Pipeline(build(request, quiet)[0])
    shipped = Pipeline.load()
    for photograph in PHOTOGRAPHS:
        a, b = (pipe.extract(photograph).descriptors for pipe in (fresh, shipped))
        assert abs(a - b).max() <= 1e-3
