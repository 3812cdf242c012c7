"""A model is never named after a precision it does not compute in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch

from geoaware.export import recipe_files
from geoaware.export.build import build
from geoaware.export.describe import describe
from geoaware.export.parts import resolve_all
from geoaware.export.request import Request
from geoaware.export.state_dict import read_state
from geoaware.export.verify import ParityError, check_precision
from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.recipe import Recipe

from .conftest import quiet

Built = Callable[[str], Bundle]


@pytest.mark.parametrize(("precision", "least"), [("fp32", 1), ("fp16", 1), ("int8", 0.5)])
def test_the_manifest_says_what_the_graph_computes_in(built: Built, precision: str, least: float):
    [model] = built(precision).manifest.models
    assert model.compute[precision] >= least
    assert sum(model.compute.values()) == pytest.approx(1)


def test_a_single_model_under_a_half_name_is_refused(built: Built):
    bundle = built("fp32")
    disguised = describe(bundle.path / "features.onnx", "fp16", "fp16")
    assert disguised.compute == {"fp32": 1.0}
    with pytest.raises(ParityError, match=r"features\.onnx: only 0% of it computes in fp16"):
        check_precision([disguised])


def test_half_weights_alone_do_not_make_half_compute(tmp_path: Path):
    """Weights stored as fp16 and cast back before use compute in single."""
    request = Request(
        recipe_files.at_side(recipe_files.load("lite"), 64), compact=True, out=tmp_path / "compact"
    )
    bundle, _ = build(request, quiet)
    [model] = bundle.manifest.models
    assert (model.stored_as, model.compute) == ("fp16", {"fp32": 1.0})


def product(kind: int, dequantised: bool = False) -> onnx.ModelProto:
    """A graph of one matrix product."""
    helper = onnx.helper
    inputs = [helper.make_tensor_value_info("x", kind, [2, 2])]
    nodes = [helper.make_node("MatMul", ["a" if dequantised else "x", "w"], ["y"])]
    weights = [helper.make_tensor("w", kind, [2, 2], [1.0] * 4)]
    if dequantised:
        inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, [2, 2])]
        weights.append(helper.make_tensor("scale", kind, [], [1.0]))
        nodes.insert(0, helper.make_node("DequantizeLinear", ["x", "scale"], ["a"]))
    outputs = [helper.make_tensor_value_info("y", kind, [2, 2])]
    graph = helper.make_graph(nodes, "product", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize(
    ("model", "precision"),
    [
        (product(onnx.TensorProto.FLOAT), "fp32"),
        (product(onnx.TensorProto.FLOAT16), "fp16"),
        (product(onnx.TensorProto.FLOAT, dequantised=True), "int8"),
    ],
)
def test_a_product_computes_in_the_type_of_what_it_is_fed(
    model: onnx.ModelProto, precision: str, tmp_path: Path
):
    onnx.save(model, tmp_path / "product.onnx")
    assert describe(tmp_path / "product.onnx", "fp32", "fp32").compute == {precision: 1.0}


def test_a_model_that_overflows_in_half_is_refused_and_its_layer_named(tmp_path: Path):
    recipe = recipe_files.at_side(recipe_files.load("lite"), 64)
    [found] = resolve_all(recipe, {}).values()
    state = read_state(found.files["model"])
    state["_blocks.12._bn2.weight"] = state["_blocks.12._bn2.weight"] * 1e7
    torch.save(state, tmp_path / "loud.pth")
    sources = {"efficientnet-lite0": str(tmp_path / "loud.pth")}
    request = Request(recipe, precision="fp16", weights=sources, out=tmp_path / "bundle")
    with pytest.raises(ParityError, match=r"cosine_min nan.*diverging layer: .*blocks\.12"):
        build(request, quiet)
    assert not (tmp_path / "bundle").exists()


def test_damaged_weights_are_refused(tmp_path: Path):
    recipe = recipe_files.at_side(recipe_files.load("lite"), 64)
    [found] = resolve_all(recipe, {}).values()
    state = read_state(found.files["model"])
    state["_blocks.3._bn2.weight"] = state["_blocks.3._bn2.weight"] * torch.nan
    torch.save(state, tmp_path / "damaged.pth")
    sources = {"efficientnet-lite0": str(tmp_path / "damaged.pth")}
    with pytest.raises(GeoAwareError, match=r"damaged: blocks\.3\.bn2\.weight holds NaN"):
        build(Request(recipe, weights=sources, out=tmp_path / "bundle"), quiet)


def test_a_head_for_other_taps_says_which_it_takes(tmp_path: Path):
    content = recipe_files.at_side(recipe_files.load("lite"), 64).model_dump()
    content |= {"normalise": "none", "head": "geoaware-sc"}
    request = Request(Recipe.model_validate(content), out=tmp_path / "bundle", seed=0)
    with pytest.raises(GeoAwareError, match="the head takes 4 taps of 640, 1280, 1280"):
        build(request, quiet)


def test_int8_of_diffusion_is_refused_before_any_work(tmp_path: Path):
    request = Request(recipe_files.load("sd15"), precision="int8", out=tmp_path / "sd", seed=0)
    with pytest.raises(GeoAwareError, match="int8 is not offered for sd15"):
        build(request, quiet)
    assert not (tmp_path / "sd").exists()
