"""Operations and bytes, counted by hand; and the rows that floors are put on."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import parser

from geoaware.bench import floors
from geoaware.bench.floors import Work, floor_ms, matching_work, network_work, with_floors
from geoaware.bench.rows import OURS, Row, Spread
from geoaware.runtime import Bundle
from geoaware.runtime.errors import GeoAwareError

from .test_matching import Notes

MACHINE = [
    Row(suite="machine", case={"what": what}, contender="numpy", unit=unit, spread=Spread.of([at]))
    for what, unit, at in (("product, fp32", "GFLOP/s", 100.0), ("copy", "GB/s", 10.0))
]


@pytest.fixture
def graph(tmp_path: Path):
    """A function that makes a bundle whose one graph is the text."""
    shipped = Bundle.open()

    def make(text: str) -> Bundle:
        model = parser.parse_model(f'<ir_version: 10, opset_import: ["": 23]> {text}')
        onnx.save(model, tmp_path / "features.onnx")
        return Bundle(tmp_path, shipped.manifest)

    return make


def weights_bytes(bundle: Bundle) -> int:
    """As the manifest has them, which `graph` takes from the shipped bundle."""
    return bundle.manifest.models[0].files[0].bytes


def test_the_longer_of_computing_and_moving_counts():
    assert floor_ms(Work(2e9, 1e6), gflops=100, gbps=10) == pytest.approx(20)
    assert floor_ms(Work(2e6, 1e9), gflops=100, gbps=10) == pytest.approx(100)


def test_a_match_multiplies_what_is_asked_with_all_cells():
    found = matching_work(12, 60, 768)
    assert found.flops == 2 * 12 * 3600 * 768
    assert found.bytes == 4 * (12 * 768 + 3600 * 768 + 12 * 2)
    assert matching_work(None, 60, 768) == matching_work(3600, 60, 768)


@pytest.mark.parametrize(
    ("text", "flops"),
    [
        (
            "conv (float[batch,4,8,8] x, float[6,2,3,3] w) => (float[batch,6,4,4] y)"
            "{ y = Conv<group=2, strides=[2,2], pads=[1,1,1,1]>(x, w) }",
            2 * (6 * 4 * 4) * (2 * 3 * 3),
        ),
        (
            "transposed (float[batch,4,5,5] x, float[4,3,2,2] w) => (float[batch,3,10,10] y)"
            "{ y = ConvTranspose<strides=[2,2]>(x, w) }",
            2 * (4 * 5 * 5) * (3 * 2 * 2),
        ),
        (
            "product (float[batch,7,5] x, float[5,3] w) => (float[batch,7,3] y)"
            "{ h = Relu(x)  y = MatMul(h, w) }",
            2 * 7 * 5 * 3,
        ),
        (
            "attention (float[batch,6,10,16] q, float[batch,6,20,16] k, float[batch,6,20,8] v)"
            "=> (float[batch,6,10,8] y) { y = Attention(q, k, v) }",
            2 * 6 * 10 * 20 * (16 + 8),
        ),
        (
            "attention (float[batch,10,96] q, float[batch,20,96] k, float[batch,20,48] v)"
            "=> (float[batch,10,48] y)"
            "{ y = Attention<q_num_heads=6, kv_num_heads=6>(q, k, v) }",
            2 * 6 * 10 * 20 * (16 + 8),
        ),
    ],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_operations_by_hand(graph, text: str, flops: int, batch: int):
    assert network_work(graph(text), batch).flops == flops * batch


@pytest.mark.parametrize(("transposed", "shape"), [(0, "7,5"), (1, "5,7")])
def test_a_transposed_factor_is_seen(graph, transposed: int, shape: str):
    made = graph(
        f"gemm (float[{shape}] x, float[5,3] w) => (float[7,3] y)"
        f"{{ y = Gemm<transA={transposed}>(x, w) }}"
    )
    assert network_work(made, 1).flops == 2 * 7 * 5 * 3


def test_inputs_outputs_and_weights_are_moved_once(graph):
    made = graph(
        "types (float[batch,7] x) => (float16[batch,7] y) { h = Relu(x)  y = Cast<to=10>(h) }"
    )
    found = network_work(made, 2)
    assert found == Work(0, weights_bytes(made) + 2 * 7 * (4 + 2))


def test_the_shipped_network_takes_what_its_layers_sum_to():
    assert network_work(Bundle.open(), 1).flops == pytest.approx(3.494e9, rel=1e-3)


def test_a_shape_that_is_not_known_is_an_error(graph):
    made = graph(
        "unknown (float[batch,4] x, int64[2] shape, float[5,3] w) => (float[n,3] y)"
        "{ h = Reshape(x, shape)  y = MatMul(h, w) }"
    )
    with pytest.raises(GeoAwareError, match="features.onnx: the shape of 'h' is not known"):
        network_work(made, 1)


def row(suite: str, contender: str = OURS, unit: str = "ms", **case: str | int) -> Row:
    return Row(suite=suite, case=case, contender=contender, unit=unit, spread=Spread.of([1.0]))


def test_rows_get_their_floors(monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[object, ...]] = []

    def bundle(*words: object) -> Bundle:
        asked.append(words[:3])
        return Bundle.open()

    monkeypatch.setattr(floors, "bundle", bundle)
    features = {"recipe": "lite", "precision": "fp32", "frame": 512, "batch": 1}
    rows = [
        row("features", **features),
        row("features", **{**features, "precision": "int8"}),
        row("features", "onnxruntime", **features),
        row("matching", points="all", grid=60, channels=768),
        row("work", what="batch", at=4),
        row("work", what="frame side", at=256),
        row("work", what="keypoints", at=1024),
        row("work", what="grid", at=96),
        row("work", what="pairs", at=2),
        row("match", recipe="lite", what="cold"),
        row("evaluation", unit="pairs/s", recipe="lite", what="pairs"),
    ]
    found = with_floors(rows, MACHINE, Notes())
    assert [each.model_copy(update={"floor": None}) for each in found] == rows
    one = network_work(Bundle.open(), 1).flops / 1e8
    expected = [
        one,
        None,
        None,
        2 * 3600**2 * 768 / 1e8,
        4 * one,
        one,  # of the bundle that stands in for it
        2 * 1024 * 3600 * 768 / 1e8,
        4 * (12 * 768 + 96**2 * 768 + 24) / 1e7,
        4 * 4 * (12 * 496 + 1024 * 496 + 24) / 1e7,
        None,
        None,
    ]
    assert [each.floor for each in found] == [value and pytest.approx(value) for value in expected]
    assert asked == [("lite", "fp32", None), ("lite", "fp32", None), ("lite", "fp32", 256)]


def test_a_floor_is_counted_from_the_best_that_the_machine_did():
    machine = [
        each.model_copy(update={"spread": Spread.of([each.spread.median / 2] * 3 + [200.0] * 2)})
        for each in MACHINE
        if each.spread
    ]
    [found] = with_floors([row("matching", points="all", grid=60, channels=768)], machine, Notes())
    assert found.floor == pytest.approx(2 * 3600**2 * 768 / 2e8)


def test_without_the_machines_rates_there_are_no_floors():
    with pytest.raises(GeoAwareError, match="no floors: 'copy' of this machine was not measured"):
        with_floors([], MACHINE[:1], Notes())


def test_without_the_exporter_networks_have_no_floor_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(floors, "missing", lambda extra: ["onnx"])
    notes = Notes()
    rows = [row("work", what="batch", at=4), row("work", what="grid", at=96)]
    batch, grid = with_floors(rows, MACHINE, notes)
    assert batch.floor is None
    assert grid.floor
    assert notes == ["no floors of networks: they are counted with the extra export"]
