"""Engines must prove themselves, every item of every batch; who is wrong is told where.

TensorRT is a fake that runs the ONNX graphs: everything on this side of its interface is real.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from geoaware.export.build import build, prove
from geoaware.export.request import EngineRequest, Request
from geoaware.export.verify import ParityError
from geoaware.kernels.cuda.errors import CudaMemoryError
from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.engines.choice import choose
from geoaware.runtime.recipe import Recipe

from ..runtime.engines.fake_tensorrt import FakeTensorRT
from ..runtime.engines.memory_gpu import MemoryGpu, RecordedGraph
from .conftest import quiet

Ask = Callable[..., Request]


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


def spoil_from_the_fifth_on(model: onnx.ModelProto) -> None:
    """Make nothing of the images of a batch after the fourth."""
    graph = model.graph
    output = graph.output[0]
    for node in graph.node:
        node.output[:] = ["raw" if name == output.name else name for name in node.output]
    for name, values in {"from": [0, 4], "to": [4, 9999], "axis": [0]}.items():
        for index, value in enumerate(values):
            array = np.array([value], np.int64)
            graph.initializer.append(numpy_helper.from_array(array, f"{name}{index}"))
    graph.initializer.append(numpy_helper.from_array(np.float32(0), "nothing"))
    graph.node.extend(
        [
            helper.make_node("Slice", ["raw", "from0", "to0", "axis0"], ["first"]),
            helper.make_node("Slice", ["raw", "from1", "to1", "axis0"], ["rest"]),
            helper.make_node("Mul", ["rest", "nothing"], ["wrong"]),
            helper.make_node("Concat", ["first", "wrong"], [output.name], axis=0),
        ]
    )


def test_a_wrong_engine_is_not_published_and_its_first_wrong_layer_is_named(
    asked: Ask, tensorrt: FakeTensorRT
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


def test_a_search_that_fails_does_not_hide_the_verdict(asked: Ask, tensorrt: FakeTensorRT):
    def spoil_then_fail(model: onnx.ModelProto) -> None:
        spoil(model)
        tensorrt.out_of_memory = True

    tensorrt.spoil = spoil_then_fail
    with pytest.raises(ParityError, match=r"is not.*cosine_min.*layer: not found \(.*OutOfMemory"):
        build(asked(), quiet)


def test_every_item_of_a_batch_is_looked_at(asked: Ask, tensorrt: FakeTensorRT):
    tensorrt.spoil = spoil_from_the_fifth_on
    with pytest.raises(ParityError, match=r"cosine_min -?0\.0"):
        build(asked(batches=(8,)), quiet)


def test_what_a_graph_recorded_is_looked_at_too(asked: Ask, tensorrt: FakeTensorRT):
    before = RecordedGraph.made
    build(asked(batches=(8,)), quiet)
    assert RecordedGraph.made > before


def test_an_engine_that_is_silently_single_is_refused(asked: Ask, tensorrt: FakeTensorRT):
    tensorrt.whole_in_single = True
    with pytest.raises(ParityError, match=r"\.engine: only 0% of the engine is fp16 \(\d+ fp32\)"):
        build(asked("fp16"), quiet)


def test_weights_stored_as_half_make_an_engine_in_single(
    tiny: Recipe, tensorrt: FakeTensorRT, tmp_path: Path
):
    request = Request(tiny, compact=True, out=tmp_path / "x", engine=EngineRequest("tensorrt"))
    bundle, _ = build(request, quiet)
    [plan] = bundle.manifest.engines[0].plans
    assert (plan.network, set(plan.layers)) == ({"fp32": 45}, {"fp32", "other"})


def test_an_engine_built_ahead_of_time_is_used_once_it_is_proved(
    asked: Ask, rtx: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
):
    bundle, _ = build(asked(kind="tensorrt-rtx", architecture="8.9"), quiet)
    [record] = bundle.manifest.engines
    assert (record.gpu, record.parity, record.plans[0].layers) == (None, None, None)
    with pytest.raises(GeoAwareError, match=f"prove it here: geoexport prove {bundle.path}"):
        choose("tensorrt-rtx", bundle)
    assert "geoexport prove" in choose("auto", bundle).passed_over[0]
    monkeypatch.chdir(bundle.path)
    proved = prove(Bundle.open("."), {}, quiet)
    assert choose("tensorrt-rtx", proved).record.parity.cosine_min > 0.9999
    assert choose("tensorrt-rtx", Bundle.open(bundle.path)).record.plans[0].layers
    with pytest.raises(GeoAwareError, match="has no unproved engine for NVIDIA RTX Test"):
        prove(proved, {}, quiet)


def test_a_wrong_engine_stays_unproved(asked: Ask, rtx: FakeTensorRT):
    rtx.spoil = spoil
    bundle, _ = build(asked(kind="tensorrt-rtx", architecture="8.9"), quiet)
    with pytest.raises(ParityError, match="first diverging layer"):
        prove(bundle, {}, quiet)
    rtx.__version__ = "1.8.0.1"
    with pytest.raises(GeoAwareError, match=r"version 1\.7\.1\.116, and 1\.8\.0\.1 is installed"):
        prove(bundle, {}, quiet)
    assert Bundle.open(bundle.path).manifest == bundle.manifest


def test_no_memory_to_prove_it_in_gets_advice(
    asked: Ask, tensorrt: FakeTensorRT, gpu: MemoryGpu, monkeypatch: pytest.MonkeyPatch
):
    def full(nbytes: int) -> None:
        raise CudaMemoryError(f"no {nbytes} bytes")

    monkeypatch.setattr(gpu, "allocate", full)
    with pytest.raises(GeoAwareError, match="no .* bytes; end other programs.*--batch"):
        build(asked(), quiet)


# --- what is there stays --------------------------------------------------------------------


def test_a_build_that_fails_leaves_a_published_engine_alone(asked: Ask, tensorrt: FakeTensorRT):
    bundle, _ = build(asked(), quiet)
    [file] = bundle.manifest.engine_files
    bundle.file(file.name).write_bytes(b"damaged")
    tensorrt.spoil = spoil
    with pytest.raises(ParityError):
        build(asked(), quiet)
    assert bundle.file(file.name).read_bytes() == b"damaged"


def test_nothing_is_written_through_a_link(asked: Ask, tensorrt: FakeTensorRT, tmp_path: Path):
    bundle, _ = build(asked(), quiet)
    [file] = bundle.manifest.engine_files
    outside = tmp_path / "thesis.tex"
    shutil.move(bundle.file(file.name), outside)
    engine = outside.read_bytes()
    bundle.file(file.name).symlink_to(outside)
    again, new = build(asked(batches=(1,)), quiet)
    assert new
    assert outside.read_bytes() == engine
    assert not again.file(file.name).is_symlink()
    assert choose("tensorrt", again).record == again.manifest.engines[0]
