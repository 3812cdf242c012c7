"""OpenVINO computes what onnxruntime does, on so many threads as it may, and tells nobody."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from geoaware.examples import PHOTOGRAPHS
from geoaware.runtime import Bundle, GeoAwareError, Pipeline
from geoaware.runtime.doctor import examine
from geoaware.runtime.engines import open_engine, openvino
from geoaware.runtime.engines.choice import choose
from geoaware.runtime.engines.openvino import OpenVinoEngine
from geoaware.runtime.errors import InputError
from geoaware.runtime.images import load, to_frame
from geoaware.runtime.manifest import Model

pytest.importorskip("openvino", exc_type=ImportError)


@pytest.fixture(scope="module")
def model() -> Model:
    return Bundle.open().manifest.models[0]


@pytest.fixture(scope="module")
def engine(model: Model) -> OpenVinoEngine:
    return OpenVinoEngine(Bundle.open().path, model, threads=1)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    frame = Bundle.open().manifest.recipe.frame
    return np.stack([to_frame(load(path), frame, frame.side) for path in PHOTOGRAPHS[:3]])


def test_photographs_have_the_descriptors_of_onnxruntime(lite: Pipeline):
    assert lite.device == "cpu"
    other = Pipeline.load(device="openvino")
    assert other.device == "openvino"
    for path in PHOTOGRAPHS:
        truth, found = lite.extract(path), other.extract(path)
        np.testing.assert_allclose(found.descriptors, truth.descriptors, atol=1e-5)
        assert found.bundle == truth.bundle


def test_a_batch_is_its_images(engine: OpenVinoEngine, model: Model, images: np.ndarray):
    truth = open_engine(Bundle.open().path, model, "cpu").run({"image": images})["descriptors"]
    found = engine.run({"image": images})["descriptors"]
    np.testing.assert_allclose(found, truth, atol=1e-5)
    np.testing.assert_array_equal(engine.run({"image": images[1:2]})["descriptors"][0], found[1])


def test_what_a_run_gave_outlives_the_next(engine: OpenVinoEngine, images: np.ndarray):
    first = engine.run({"image": images[:1]})["descriptors"]
    kept = first.copy()
    engine.run({"image": images[1:2]})
    np.testing.assert_array_equal(first, kept)


def test_threads_may_share_an_engine(engine: OpenVinoEngine, images: np.ndarray):
    truth = [engine.run({"image": each[None]})["descriptors"] for each in images]
    found: dict[int, np.ndarray] = {}

    def extract(number: int) -> None:
        found[number] = engine.run({"image": images[number][None]})["descriptors"]

    threads = [threading.Thread(target=extract, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, expected in enumerate(truth):
        np.testing.assert_array_equal(found[number], expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_takes_the_threads_it_may(
    model: Model, threads: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(openvino.os, "cpu_count", lambda: 2)
    assert OpenVinoEngine(Bundle.open().path, model, threads).threads == threads


@pytest.mark.parametrize("change", ["shape", "dtype", "batch"])
def test_other_arrays_are_refused(engine: OpenVinoEngine, images: np.ndarray, change: str):
    image = {
        "shape": images[:, :, :256],
        "dtype": images.astype(np.float64),
        "batch": images[0],
    }[change]
    with pytest.raises(InputError, match=r"image: float\d\d \(\d.*, where float32 \(\d, 3, 512, "):
        engine.run({"image": image})


def test_a_graph_that_is_not_the_manifests_is_refused(model: Model):
    image = model.inputs[0]
    other = model.model_copy(
        update={"inputs": (image.model_copy(update={"shape": ("batch", 3, 64, 64)}),)}
    )
    with pytest.raises(GeoAwareError, match=r"onnx: its inputs are not those of the manifest"):
        OpenVinoEngine(Bundle.open().path, other)
    other = model.model_copy(
        update={"outputs": (model.outputs[0].model_copy(update={"name": "d"}),)}
    )
    with pytest.raises(GeoAwareError, match=r"onnx: its outputs are not those of the manifest"):
        OpenVinoEngine(Bundle.open().path, other)


def test_a_file_that_is_no_model_is_named(model: Model, tmp_path: Path):
    (tmp_path / model.files[0].name).write_bytes(b"not a model")
    with pytest.raises(GeoAwareError, match=r"features\.onnx: OpenVINO .* cannot load it: Unable"):
        OpenVinoEngine(tmp_path, model)


def test_threads_may_load_it_at_once():
    """In a fresh process, where it is not loaded yet."""
    code = """
from concurrent.futures import ThreadPoolExecutor
from geoaware.runtime.engines.openvino import load

with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda _: load(), range(4)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_its_makers_hear_nothing_of_it():
    """`import openvino` alone sends word of itself."""
    code = (
        "import sys; from geoaware.runtime.engines.openvino import load; load();"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def changed(**values: object) -> Bundle:
    """The bundle that ships, as if its model were of another kind."""
    bundle = Bundle.open()
    models = (bundle.manifest.models[0].model_copy(update=values),)
    return Bundle(bundle.path, bundle.manifest.model_copy(update={"models": models}))


@pytest.mark.parametrize(
    ("precision", "opset", "device"),
    [
        ("fp32", 20, "cpu"),
        ("fp32", 23, "openvino"),
        ("fp16", 20, "openvino"),
        ("int8", 20, "cpu"),
        ("int8", 23, "cpu"),
    ],
)
def test_auto_is_openvino_where_it_is_the_faster(
    no_gpu: None, precision: str, opset: int, device: str, monkeypatch: pytest.MonkeyPatch
):
    bundle = changed(precision=precision, opset=opset)
    assert choose("auto", bundle).device == device
    monkeypatch.setattr("geoaware.runtime.engines.choice.version_of", lambda package: None)
    assert choose("auto", bundle).device == "cpu"


def test_int8_is_refused_as_nobody_proved_it():
    with pytest.raises(InputError, match="int8, which OpenVINO rounds .* use --device cpu"):
        choose("openvino", changed(precision="int8"))


def test_an_openvino_that_does_not_load_never_stops_auto(
    no_gpu: None, monkeypatch: pytest.MonkeyPatch
):
    def broken(name: str) -> None:
        raise OSError("libopenvino.so: cannot open shared object file")

    openvino.load.cache_clear()
    monkeypatch.setattr(openvino, "import_module", broken)
    choice = choose("auto", changed(opset=23))
    assert choice.device == "cpu"
    assert choice.passed_over[-1].startswith("openvino cannot be imported: libopenvino.so")
    with pytest.raises(GeoAwareError, match="openvino cannot be imported"):
        choose("openvino")


def test_an_openvino_without_attention_is_too_old(no_gpu: None, monkeypatch: pytest.MonkeyPatch):
    openvino.load.cache_clear()
    old = SimpleNamespace(__version__="2026.0.0-20965-c6d6a13a886-releases/2026/0")
    monkeypatch.setattr(openvino, "import_module", lambda name: old)
    choice = choose("auto", changed(opset=23))
    assert choice.device == "cpu"
    assert choice.passed_over[-1].startswith("openvino 2026.0 is too old: pip install")
    with pytest.raises(GeoAwareError, match="too old"):
        choose("openvino")


def test_an_openvino_without_its_cpu_never_stops_auto(
    no_gpu: None, half: Bundle, monkeypatch: pytest.MonkeyPatch
):
    def no_core() -> None:
        raise RuntimeError("Exception from src/x.cpp:1:\nDevice with name CPU is not registered")

    monkeypatch.setattr(openvino, "load", lambda: SimpleNamespace(Core=no_core))
    choice = choose("auto", proved(half))
    assert "does not run on this processor: Device with name CPU" in choice.passed_over[-1]
    with pytest.raises(GeoAwareError, match="on this processor: Device with name CPU is not"):
        choose("openvino-bf16", proved(half))


def test_openvino_asked_for_and_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    openvino.load.cache_clear()
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(GeoAwareError, match=r'not installed: pip install "geoaware\[openvino\]"$'):
        choose("openvino", Bundle.open())


def test_doctor_shows_it():
    found = examine()
    assert found.devices["openvino"].startswith("20")
    assert found.extras["openvino"] == "ok"


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped models under an fp16 name, proved in bfloat16 by nobody."""
    shipped = Bundle.open()
    folder = tmp_path_factory.mktemp("half")
    for file in shipped.manifest.files:
        (folder / file.name).symlink_to(shipped.file(file.name))
    models = tuple(
        each.model_copy(update={"precision": "fp16", "compute": {"fp16": 1.0}})
        for each in shipped.manifest.models
    )
    return Bundle(folder, shipped.manifest.model_copy(update={"models": models}))


def proved(bundle: Bundle) -> Bundle:
    manifest = bundle.manifest
    return Bundle(bundle.path, manifest.model_copy(update={"bfloat16": manifest.parity}))


def test_bfloat16_is_for_bundles_proved_in_it(half: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(openvino, "has_bfloat16", lambda: True)
    build = f"geoexport build lite --out {half.path} --force"
    with pytest.raises(GeoAwareError, match=f"was not proved in bfloat16; its build.*{build}"):
        choose("openvino-bf16", half)
    with pytest.raises(GeoAwareError, match="bfloat16, which is for fp16 models and not fp32"):
        choose("openvino-bf16", Bundle.open())
    assert choose("openvino-bf16", proved(half)).device == "openvino-bf16"
    assert choose("auto", half).device == "openvino"
    assert choose("auto", proved(half)).device == "openvino-bf16"


def test_bfloat16_is_for_processors_that_have_it(half: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(openvino, "has_bfloat16", lambda: False)
    with pytest.raises(GeoAwareError, match="processor does not compute in bfloat16"):
        choose("openvino-bf16", proved(half))
    choice = choose("auto", proved(half))
    assert choice.device == "openvino"
    assert "bfloat16" in choice.passed_over[-1]


@pytest.mark.skipif(not openvino.has_bfloat16(), reason="the processor has no bfloat16")
def test_bfloat16_is_near_fp32_and_not_it(model: Model, engine: OpenVinoEngine, images: np.ndarray):
    other = OpenVinoEngine(Bundle.open().path, model, threads=1, bfloat16=True)
    truth = engine.run({"image": images[:1]})["descriptors"]
    found = other.run({"image": images[:1]})["descriptors"]
    cosine = (truth * found).sum(axis=-1)
    assert cosine.min() > 0.98
    assert abs(truth - found).max() > 1e-4
