"""The suite `features`, on a bundle that is small enough to be timed at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import ceil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from geoaware.bench import features
from geoaware.bench.caches import largest_cache
from geoaware.bench.contenders import Contenders, contenders
from geoaware.bench.rivals import networks_onnxruntime, networks_pytorch
from geoaware.bench.rivals.networks import Float32, Network, Opener, openers
from geoaware.bench.rows import OURS, Row
from geoaware.bench.settings import Settings
from geoaware.bench.timing import Pace
from geoaware.runtime import Bundle, Pipeline
from geoaware.runtime.bundle import sha256_of
from geoaware.runtime.errors import GeoAwareError, InputError
from geoaware.runtime.manifest import File, Model, Precision, Tensor

from ..runtime.mask_bundle import GRID, SIDE, mask_bundle

ONCE = Pace(repeats=1, seconds=0, least=1, pause=0, short=0)
SETTINGS = Settings(
    threads=1, recipes=("small",), precisions=("fp32",), batches=(1, 2), device="cpu", pace=ONCE
)


class Notes(list[str]):
    """A watch that remembers."""

    def note(self, line: str) -> None:
        self.append(line)


class Rival:
    """The bundle's model in onnxruntime, with something the matter."""

    def __init__(self, seconds: float = 0.0, shift: int = 0) -> None:
        self.seconds, self.shift = seconds, shift
        self.batches: list[int] = []

    def open(self, bundle: Bundle, threads: int) -> Network:
        network = networks_onnxruntime.on_cpu(bundle, threads)

        def run(frames: Float32) -> Float32:
            time.sleep(self.seconds)
            self.batches.append(len(frames))
            return np.roll(network(frames), self.shift, axis=1)

        return run


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """The bundle that the suite measures here."""
    made = mask_bundle(tmp_path / "small")
    monkeypatch.setattr(features, "bundle", lambda *_: made)
    return made


def rivals(monkeypatch: pytest.MonkeyPatch, **given: Opener) -> None:
    monkeypatch.setattr("geoaware.bench.contenders.openers", lambda *_, **__: given)


def by_case(rows: Iterator[Row]) -> dict[tuple[object, ...], Row]:
    """Rows by batch, source and contender."""
    return {(row.case["batch"], row.case["from"], row.contender): row for row in rows}


def test_ours_and_rivals_are_timed_from_files_and_tensors(
    small: Bundle, monkeypatch: pytest.MonkeyPatch
):
    rivals(monkeypatch, quick=networks_onnxruntime.on_cpu, slow=Rival(seconds=0.02).open)
    rows = by_case(features.rows(SETTINGS, Notes()))
    assert [*rows] == [
        *[(1, source, name) for source in ("file", "tensor") for name in (OURS, "quick", "slow")],
        (2, "tensor", OURS),
        (2, "tensor", "quick"),
    ]
    for (_, _, name), row in rows.items():
        assert row.spread
        assert row.spread.median > (20 if name == "slow" else 0)
        assert row.difference == (None if name == OURS else 0)
        assert {key: row.case[key] for key in list(row.case)[:4]} == {
            "recipe": "small", "weights": "trained", "precision": "fp32", "frame": SIDE,
        }  # fmt: skip


def test_who_computes_something_else_is_no_rival(small: Bundle, monkeypatch: pytest.MonkeyPatch):
    liar = Rival(shift=1)
    rivals(monkeypatch, liar=liar.open)
    rows = by_case(features.rows(SETTINGS, Notes()))
    for source in ("file", "tensor"):
        row = rows[1, source, "liar"]
        assert row.spread is None
        assert row.missing
        assert row.missing.startswith("computes something else: a cell's cosine with ours is")
    assert (2, "tensor", "liar") not in rows
    assert liar.batches == [1] * 4, "it was run on the photographs, and then no more"


def test_who_is_not_installed_is_missing_with_the_reason(
    small: Bundle, monkeypatch: pytest.MonkeyPatch
):
    def absent(bundle: Bundle, threads: int) -> Network:
        raise GeoAwareError("absent needs absent: pip install absent")

    rivals(monkeypatch, absent=absent)
    rows = by_case(features.rows(SETTINGS, Notes()))
    assert rows[1, "file", "absent"].missing == "absent needs absent: pip install absent"
    assert rows[1, "tensor", OURS].spread


def test_who_fails_in_its_own_way_is_missing(small: Bundle, monkeypatch: pytest.MonkeyPatch):
    def broken(bundle: Bundle, threads: int) -> Network:
        raise ImportError("libbroken.so: cannot open\nand more")

    rivals(monkeypatch, broken=broken)
    rows = by_case(features.rows(SETTINGS, Notes()))
    assert rows[1, "file", "broken"].missing == "fails: libbroken.so: cannot open"
    assert rows[1, "file", OURS].spread


def test_a_bundle_that_cannot_be_had_is_a_row_and_the_next_is_measured(
    small: Bundle, monkeypatch: pytest.MonkeyPatch
):
    def get(recipe: str, *_: object) -> Bundle:
        if recipe == "broken":
            raise GeoAwareError("out of tolerance")
        return small

    monkeypatch.setattr(features, "bundle", get)
    rivals(monkeypatch)
    settings = Settings(1, ("broken", "small"), ("fp32",), batches=(1,), device="cpu", pace=ONCE)
    broken, *others = features.rows(settings, Notes())
    assert (broken.contender, broken.missing) == (OURS, "out of tolerance")
    assert [row.case["recipe"] for row in others] == ["small", "small"]


def test_what_was_asked_wrongly_ends_the_suite(monkeypatch: pytest.MonkeyPatch):
    def get(*_: object) -> Bundle:
        raise InputError("no recipe 'nosuch'")

    monkeypatch.setattr(features, "bundle", get)
    with pytest.raises(InputError, match="nosuch"):
        next(features.rows(SETTINGS, Notes()))


def test_networks_in_a_chain_are_measured_from_files(
    small: Bundle, monkeypatch: pytest.MonkeyPatch
):
    chained = with_another_network(small)
    monkeypatch.setattr(features, "bundle", lambda *_: chained)
    rivals(monkeypatch, rival=networks_onnxruntime.on_cpu)
    rows = by_case(features.rows(SETTINGS, Notes()))
    assert rows[1, "file", OURS].spread
    for source, name in (("file", "rival"), ("tensor", "rival"), ("tensor", OURS)):
        missing = rows[1, source, name].missing
        assert missing == "runs one network; small is 2 in a chain"
    assert len(rows) == 4


def test_inputs_rotate_beyond_the_caches_each_contender_from_elsewhere(small: Bundle):
    seen: dict[str, list[int]] = {"a": [], "b": []}

    def network(name: str) -> Network:
        def run(frames: Float32) -> Float32:
            assert frames.shape == (500, 3, SIDE, SIDE)
            seen[name].append(frames.ctypes.data)
            return frames

        return run

    pipeline = Pipeline(small, "cpu", 1)
    calls = Contenders(pipeline, {name: network(name) for name in seen}).from_tensors(batch=500)
    count = ceil(3 * largest_cache() / (500 * 3 * SIDE * SIDE * 4))
    for _ in range(count):
        for call in calls.values():
            call()
    assert len(set(seen["a"])) == len(set(seen["b"])) == count > 1
    assert all(a != b for a, b in zip(seen["a"], seen["b"], strict=True))


def with_another_network(bundle: Bundle) -> Bundle:
    """The bundle with a second network, which takes what the first one gives."""
    graph = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["": 20]>
    last (float[batch,3,{GRID},{GRID}] embedding) => (float[batch,3,{GRID},{GRID}] same) {{
      same = Identity(embedding)
    }}""")
    path = bundle.file("last.onnx")
    onnx.save(graph, path)
    shape = ("batch", 3, GRID, GRID)
    last = Model(
        files=(File(name=path.name, sha256=sha256_of(path), bytes=path.stat().st_size),),
        inputs=(Tensor(name="embedding", shape=shape, dtype="float32"),),
        outputs=(Tensor(name="same", shape=shape, dtype="float32"),),
        opset=20, precision="fp32", compute={}, stored_as="fp32",
    )  # fmt: skip
    models = (*bundle.manifest.models, last)
    return Bundle(bundle.path, bundle.manifest.model_copy(update={"models": models}))


def test_rivals_are_of_equal_precision():
    everybody = {"PyTorch eager", "PyTorch compiled", "onnxruntime", "OpenVINO"}
    assert set(openers("fp32", on_gpu=False)) == everybody
    assert set(openers("int8", on_gpu=False)) == {"onnxruntime", "OpenVINO"}
    assert {"PyTorch eager fp16", "PyTorch eager bf16"} < set(openers("fp16", on_gpu=True))
    assert not openers("int8", on_gpu=True)


def test_rivals_on_a_gpu_say_that_there_is_none(lite: Pipeline):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    precisions: tuple[Precision, ...] = ("fp32", "fp16")
    for precision in precisions:
        for opener in openers(precision, on_gpu=True).values():
            with pytest.raises(GeoAwareError, match="no CUDA here|ExecutionProvider"):
                opener(lite.bundle, 1)


def test_onnxruntime_and_openvino_compute_what_we_do(
    small: Bundle, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("openvino")
    chosen = openers("fp32", on_gpu=False)
    rivals(monkeypatch, **{name: chosen[name] for name in ("onnxruntime", "OpenVINO")})
    found = contenders(Pipeline(small, "cpu", 1), 1, Notes())
    assert not found.missing
    assert set(found.differences) == {"onnxruntime", "OpenVINO"}
    assert max(found.differences.values()) <= 1e-5


def test_pytorch_computes_what_we_do(lite: Pipeline, monkeypatch: pytest.MonkeyPatch):
    rivals(monkeypatch, eager=networks_pytorch.eager)
    found = contenders(lite, 1, Notes())
    assert not found.missing
    assert found.differences["eager"] <= 0.01  # lite's weights are stored as fp16


def test_a_compiler_that_fails_is_said(lite: Pipeline, monkeypatch: pytest.MonkeyPatch):
    class Uncompiled(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no C++ compiler\nand so on")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: Uncompiled())
    with pytest.raises(GeoAwareError, match="^torch.compile fails: no C\\+\\+ compiler$"):
        networks_pytorch.compiled(lite.bundle, 1)
