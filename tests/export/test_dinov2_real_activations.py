"""DINOv2-small with weights somebody trained: what lower precisions cost on real activations."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from benchmarks.saliency_weights import HOW, dinov2_state, saliency_model
from geoaware.examples import PHOTOGRAPHS
from geoaware.export import recipe_files
from geoaware.export.backbones import dinov2
from geoaware.export.build import build
from geoaware.export.request import Request
from geoaware.export.verify import frames
from geoaware.runtime.manifest import Parity
from geoaware.runtime.recipe import BackboneUse, Tap

from .original_vit import as_map

pytestmark = pytest.mark.slow

# Tensors of the package's graph, and what they are.
TENSORS = {
    "/backbone/embeddings/Concat_6_output_0": "position",
    "/backbone/encoder/layer.0/Add_1_output_0": "block0",
    "/backbone/encoder/layer.11/Add_1_output_0": "block11",
    "/backbone/layernorm/Add_1_output_0": "norm",
}
TAPS = ["block0", "block11", "norm"]


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    found = saliency_model()
    if found is None:
        pytest.skip(HOW)
    return found


def photograph(side: int) -> torch.Tensor:
    recipe = recipe_files.at_side(recipe_files.load("dinov2-s"), side)
    image = frames(recipe, PHOTOGRAPHS[0])[side]
    mean, std = (
        torch.tensor(each).view(3, 1, 1) for each in (dinov2.DinoV2.mean, dinov2.DinoV2.std)
    )
    return (image - mean) / std


def intermediate(model: onnx.ModelProto, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """What onnxruntime finds on the way through the package's own graph."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in TENSORS)
    session = onnxruntime.InferenceSession(
        opened.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = session.run(list(TENSORS), {"input_image": image.numpy()})
    return {name: torch.from_numpy(x) for name, x in zip(TENSORS.values(), found, strict=True)}


def taps(state: dict[str, torch.Tensor], image: torch.Tensor) -> list[torch.Tensor]:
    use = BackboneUse(name="dinov2-s", taps=tuple(Tap(at=tap) for tap in TAPS))
    with torch.inference_mode():
        return dinov2.load({"model": state}, use, image.shape[-1])(image)


def test_the_weights_read_are_those_of_the_graph(model: onnx.ModelProto):
    """Given the graph's own position embedding, which transformers interpolated."""
    image = photograph(224)
    truth = intermediate(model, image)
    state = dinov2_state(model) | {"embeddings.position_embeddings": truth["position"]}
    for name, tap in zip(TAPS, taps(state, image), strict=True):
        expected = as_map(truth[name], 16)
        assert abs(tap - expected).max() < 1e-4 * abs(expected).max()


def test_interpolating_as_the_original_does_moves_features_a_little(model: onnx.ModelProto):
    image = photograph(224)
    truth = as_map(intermediate(model, image)["norm"], 16)
    ours = taps(dinov2_state(model), image)[-1]
    cosines = torch.cosine_similarity(ours, truth, dim=1)
    print(f"position as the original, as transformers: cosine {cosines.min():.6f} at least")
    assert 0.999 < cosines.min() < 0.999999


@pytest.fixture(scope="module")
def parity(
    model: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Parity]:
    folder = tmp_path_factory.mktemp("saliency")
    weights = folder / "saliency.safetensors"
    save_file(dinov2_state(model), weights)

    def of(precision: str) -> Parity:
        request = Request(
            recipe_files.load("dinov2-s"),
            precision=precision,
            weights={"dinov2-s": str(weights)},
            out=folder / precision,
        )
        bundle, _ = build(request, lambda _: None)
        print(f"{precision}: {bundle.manifest.parity}")
        return bundle.manifest.parity

    return of


def test_fp32_is_the_same(parity: Callable[[str], Parity]):
    assert parity("fp32").relative_error < 1e-4


def test_fp16_keeps_the_matches(parity: Callable[[str], Parity]):
    found = parity("fp16")
    assert found.cosine_min > 0.9999
    assert found.match_agreement > 0.95


def test_int8_keeps_the_descriptors(parity: Callable[[str], Parity]):
    found = parity("int8")
    assert found.cosine_min > 0.97
    assert found.cosine_mean > 0.999
