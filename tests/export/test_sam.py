"""Our SAM image encoder against the published one, and as ONNX."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SamVisionConfig
from transformers.models.sam.modeling_sam import SamVisionModel

from geoaware.export import to_onnx
from geoaware.export.backbones import sam
from geoaware.export.backbones.sam import SamEncoder
from geoaware.export.graphs import Graph, Taps
from geoaware.runtime import GeoAwareError
from geoaware.runtime.errors import InputError
from geoaware.runtime.recipe import BackboneUse, Tap

from . import published_sam

# Windows of 3 do not divide the grid of 8, so the last ones are filled up.
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "window_size": 3,
    "global_attn_indexes": [1],
    "output_channels": 16,
}
MADE_FOR = 128


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    return published_sam.modules(monkeypatch)


def their_encoder(published: SimpleNamespace, config: SamVisionConfig) -> nn.Module:
    """The published encoder, as its own build_sam makes it, of these sizes."""
    return published.image_encoder.ImageEncoderViT(
        img_size=config.image_size,
        depth=config.num_hidden_layers,
        embed_dim=config.hidden_size,
        num_heads=config.num_attention_heads,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=config.window_size,
        global_attn_indexes=config.global_attn_indexes,
        out_chans=config.output_channels,
    ).eval()


def lively(module: nn.Module, spread: float = 0.3) -> nn.Module:
    """Every parameter drawn at random, positions and norms too."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = spread * torch.randn(parameter.shape, generator=generator)
    return module.eval()


def tiny(side: int, state: dict[str, Tensor] | None = None) -> SamEncoder:
    torch.manual_seed(1)
    encoder = SamEncoder(SamVisionConfig(image_size=side, **TINY)).eval()
    if state is not None:
        encoder.load(state)
    return encoder


def frames(side: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(2))


@torch.inference_mode()
@pytest.mark.parametrize("side", [MADE_FOR, 64, 192])
def test_features_are_those_of_the_published_encoder(published, side: int):
    """At another side, with its positions interpolated the way the study of SAM at 512 px does."""
    theirs = lively(their_encoder(published, SamVisionConfig(image_size=MADE_FOR, **TINY)))
    ours = tiny(side, theirs.state_dict())
    positions = theirs.pos_embed.permute(0, 3, 1, 2)
    if side != MADE_FOR:
        size = (side // 16, side // 16)
        positions = F.interpolate(
            positions, size=size, mode="bicubic", align_corners=False, antialias=False
        )
    theirs.pos_embed = nn.Parameter(positions.permute(0, 2, 3, 1))
    [features] = ours(frames(side))
    assert features.shape == (2, 16, side // 16, side // 16)
    torch.testing.assert_close(features, theirs(frames(side)), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_weights_are_known_by_transformers_names():
    config = SamVisionConfig(image_size=MADE_FOR, attn_implementation="eager", **TINY)
    theirs = lively(SamVisionModel(config))
    assert "vision_encoder.layers.0.attn.rel_pos_h" in theirs.state_dict()
    expected = theirs(frames(MADE_FOR)).last_hidden_state
    [features] = tiny(MADE_FOR, theirs.state_dict())(frames(MADE_FOR))
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("prefix", ["", "image_encoder.", "module.sam.image_encoder."])
def test_weights_are_known_wherever_a_checkpoint_holds_them(published, prefix: str):
    state = lively(their_encoder(published, SamVisionConfig(image_size=128, **TINY))).state_dict()
    [expected] = tiny(64, state)(frames(64))
    whole = {f"{prefix}{key}": value for key, value in state.items()}
    if prefix:
        whole[f"{prefix.replace('image_encoder', 'mask_decoder')}iou_token.weight"] = torch.ones(1)
    torch.testing.assert_close(tiny(64, whole)(frames(64))[0], expected)


@pytest.mark.parametrize("name", ["sam-b", "sam-l", "sam-h"])
def test_every_size_has_the_published_tensors(published, name: str):
    """All but the tables of relative positions, which are folded to the frame's side."""
    with torch.device("meta"):
        config = SamVisionConfig(image_size=1024, **sam.SIZES[name])
        ours, theirs = SamEncoder(config), their_encoder(published, config)
    shapes = {key: x.shape for key, x in sam.of_encoder(theirs.state_dict()).items()}
    own = {key: x.shape for key, x in ours.state_dict().items()}
    assert own.keys() == shapes.keys()
    for key in own:
        if "rel_pos" not in key:
            assert own[key] == shapes[key], key
        else:
            assert 2 * own[key][0] - 1 == shapes[key][0]


def test_the_published_sizes():
    """Width, layers, heads and which of them see everything, as build_sam.py has them."""
    facts = {}
    for name, size in sam.SIZES.items():
        config = SamVisionConfig(**size)
        facts[name] = (
            config.hidden_size,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.global_attn_indexes,
        )
    assert facts == {
        "sam-b": (768, 12, 12, [2, 5, 8, 11]),
        "sam-l": (1024, 24, 16, [5, 11, 17, 23]),
        "sam-h": (1280, 32, 16, [7, 15, 23, 31]),
    }


def use(*taps: str) -> BackboneUse:
    return BackboneUse(name="sam-b", taps=tuple(Tap(at=tap) for tap in taps))


def test_unknown_taps_and_sides_are_refused():
    with pytest.raises(InputError, match="sam-b has no tap 'block3'; it has one, neck"):
        sam.load(None, use("block3"), 512)
    with pytest.raises(InputError, match="name it once"):
        sam.load(None, use("neck", "neck"), 512)
    with pytest.raises(InputError, match="divisible by 16, not 518"):
        sam.load(None, use("neck"), 518)


def test_other_weights_are_refused_by_name(published):
    theirs = their_encoder(published, SamVisionConfig(image_size=MADE_FOR, **TINY))
    with pytest.raises(GeoAwareError, match=r"missing \(layers.10.*misshapen.*not \(768,\)"):
        sam.load({"model": theirs.state_dict()}, use("neck"), 64)


@torch.inference_mode()
def test_random_weights_give_features_that_differ_from_cell_to_cell():
    [features] = tiny(64)(frames(64))
    assert features.std(dim=(2, 3)).mean() > 0.1
    assert abs(features[0] - features[1]).mean() > 0.1


def exported(encoder: SamEncoder, side: int, folder: Path, opset: int, dtype: torch.dtype) -> Path:
    module = Taps(encoder, dtype).eval()
    graph = Graph("sam", module, {"image": (3, side, side)}, ["neck"])
    return to_onnx.export(graph, folder, opset)


def relative_error(path: Path, reference: nn.Module, side: int, count: int) -> float:
    image = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3))
    [found] = onnxruntime.InferenceSession(path).run(None, {"image": image.numpy()})
    with torch.inference_mode():
        [expected] = reference(image)
    assert found.dtype == np.float32
    return float(abs(found - expected.numpy()).max() / abs(expected).max())


@pytest.mark.parametrize("opset", [20, 23])
def test_the_onnx_graph_computes_the_same(tmp_path: Path, opset: int):
    path = exported(tiny(MADE_FOR), MADE_FOR, tmp_path, opset, torch.float32)
    reference = Taps(tiny(MADE_FOR), torch.float32).eval()
    for count in (1, 3):
        assert relative_error(path, reference, MADE_FOR, count) <= 1e-4
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert not kinds & {"Resize", "Sin", "Cos", "Gather", "Range", "Einsum"}


def test_the_graph_in_half_precision_is_near(tmp_path: Path):
    path = exported(tiny(MADE_FOR), MADE_FOR, tmp_path, 23, torch.float16)
    assert relative_error(path, Taps(tiny(MADE_FOR), torch.float32).eval(), MADE_FOR, 2) <= 2e-3


@pytest.mark.slow
@pytest.mark.parametrize("side", [512, 1024])
def test_full_size_graphs_compute_the_same(tmp_path: Path, side: int):
    torch.manual_seed(0)
    encoder = sam.load(None, use("neck"), side)
    path = exported(encoder, side, tmp_path, 23, torch.float32)
    assert relative_error(path, Taps(encoder, torch.float32).eval(), side, 1) <= 1e-4
