"""Our prompt encoder and mask decoder against the published ones, and as ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from transformers import (
    SamConfig,
    SamMaskDecoderConfig,
    SamModel,
    SamPromptEncoderConfig,
    SamVisionConfig,
)

from geoaware.export import to_onnx
from geoaware.export.graphs import Graph
from geoaware.export.mask_decoder import MaskDecoder, load_decoder
from geoaware.runtime import GeoAwareError
from geoaware.runtime.errors import InputError

from . import published_sam
from .test_sam import lively

WIDTH, SIDE, CELLS = 32, 64, 4
POINTS = torch.tensor(
    [[[10.0, 20.0], [50.0, 60.0], [3.5, 0.0]], [[1.0, 2.0], [63.0, 64.0], [9, 9]]]
)
LABELS = torch.tensor([[1, 0, 1], [0, 1, 1]])
BOXES = torch.tensor([[4.0, 8.0, 40.0, 48.0], [0.0, 0.0, 64.0, 64.0]])


def tiny_config() -> SamMaskDecoderConfig:
    return SamMaskDecoderConfig(
        hidden_size=WIDTH, mlp_dim=48, num_attention_heads=4, layer_norm_eps=1e-5
    )


def tiny(state: dict[str, Tensor] | None = None) -> MaskDecoder:
    torch.manual_seed(0)
    decoder = MaskDecoder(tiny_config(), SIDE).eval()
    if state is not None:
        decoder.load(state)
    return decoder


def their_parts(
    monkeypatch: pytest.MonkeyPatch, width: int, heads: int, mlp: int, spread: float
) -> nn.Module:
    """The published parts, together as a checkpoint has them, at random."""
    modules = published_sam.modules(monkeypatch)
    whole = nn.Module()
    whole.prompt_encoder = modules.prompt_encoder.PromptEncoder(
        width, (CELLS, CELLS), (SIDE, SIDE), mask_in_chans=16
    )
    transformer = modules.transformer.TwoWayTransformer(2, width, num_heads=heads, mlp_dim=mlp)
    whole.mask_decoder = modules.mask_decoder.MaskDecoder(
        transformer_dim=width, transformer=transformer
    )
    whole.image_encoder = nn.Linear(1, 1)  # something that a whole checkpoint has besides
    return lively(whole, spread)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    return their_parts(monkeypatch, WIDTH, heads=4, mlp=48, spread=0.3)


def theirs(
    published: nn.Module, embedding: Tensor, points: Tensor | None, boxes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """All four masks and scores, image by image, as the published predictor calls its parts."""
    found = []
    for index in range(len(embedding)):
        part = slice(index, index + 1)
        sparse, dense = published.prompt_encoder(
            points=None if points is None else (points[part], LABELS[part]),
            boxes=None if boxes is None else boxes[part],
            masks=None,
        )
        found.append(
            published.mask_decoder.predict_masks(
                image_embeddings=embedding[part],
                image_pe=published.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
            )
        )
    return torch.cat([masks for masks, _ in found]), torch.cat([scores for _, scores in found])


def prompt(points: Tensor | None, boxes: Tensor | None) -> tuple[Tensor, Tensor]:
    """Points and labels as our decoder takes them: points, then a box or one padding point."""
    end, kinds = torch.zeros(2, 1, 2), torch.full((2, 1), -1)
    if boxes is not None:
        end, kinds = boxes.reshape(2, 2, 2), torch.tensor([[2, 3], [2, 3]])
    if points is None:
        return end, kinds
    return torch.cat([points, end], 1), torch.cat([LABELS, kinds], 1)


def embeddings(count: int = 2) -> Tensor:
    return torch.randn(count, WIDTH, CELLS, CELLS, generator=torch.Generator().manual_seed(4))


@torch.inference_mode()
@pytest.mark.parametrize(
    ("points", "boxes"),
    [(POINTS, None), (None, BOXES), (POINTS, BOXES)],
    ids=["points", "box", "both"],
)
def test_masks_are_those_of_the_published_decoder(published, points, boxes):
    expected = theirs(published, embeddings(), points, boxes)
    masks, scores = tiny(published.state_dict())(embeddings(), *prompt(points, boxes))
    assert masks.shape == (2, 4, 4 * CELLS, 4 * CELLS)
    torch.testing.assert_close(masks, expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scores, expected[1], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_the_published_size_and_epsilons(monkeypatch: pytest.MonkeyPatch):
    """Of weights so small that the epsilon of every norm shows."""
    published = their_parts(monkeypatch, 256, heads=8, mlp=2048, spread=0.01)
    embedding = 0.01 * torch.randn(2, 256, CELLS, CELLS, generator=torch.Generator().manual_seed(6))
    expected, _ = theirs(published, embedding, POINTS, BOXES)
    decoder = load_decoder({"model": published.state_dict()}, SIDE)
    masks, _ = decoder(embedding, *prompt(POINTS, BOXES))
    assert abs(masks - expected).max() <= 1e-4 * abs(expected).max()


@torch.inference_mode()
def test_weights_are_known_by_transformers_names():
    config = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=SIDE,
            output_channels=WIDTH, num_pos_feats=WIDTH // 2, global_attn_indexes=[0],
        ),
        prompt_encoder_config=SamPromptEncoderConfig(hidden_size=WIDTH, image_size=SIDE),
        mask_decoder_config=tiny_config(),
    )  # fmt: skip
    model = lively(SamModel(config))
    expected = model(
        image_embeddings=embeddings(), input_boxes=BOXES[:, None], multimask_output=False
    )
    masks, scores = tiny(model.state_dict())(embeddings(), *prompt(None, BOXES))
    torch.testing.assert_close(masks[:, :1], expected.pred_masks[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scores[:, :1], expected.iou_scores[:, 0], rtol=1e-4, atol=1e-4)


def test_other_weights_are_refused_by_name(published):
    state = published.state_dict()
    del state["mask_decoder.iou_token.weight"]
    with pytest.raises(GeoAwareError, match="not weights of MaskDecoder.*mask_decoder.iou_token"):
        tiny().load(state)
    with pytest.raises(GeoAwareError, match="is .*, not .*256"):
        load_decoder({"model": published.state_dict()}, SIDE)


def test_a_side_that_no_encoder_takes_is_refused():
    with pytest.raises(InputError, match="divisible by 16, not 500"):
        load_decoder(None, 500)


@torch.inference_mode()
@pytest.mark.parametrize("opset", [20, 23])
def test_the_onnx_graph_takes_any_number_of_images_and_points(tmp_path: Path, opset: int):
    shapes = {"embedding": (WIDTH, CELLS, CELLS), "points": ("prompts", 2), "labels": ("prompts",)}
    graph = Graph("masks", tiny(), shapes, ["masks", "scores"], whole=["labels"])
    session = onnxruntime.InferenceSession(to_onnx.export(graph, tmp_path, opset))
    generator = torch.Generator().manual_seed(5)
    for batch, count in ((1, 1), (1, 2), (3, 5)):
        feed = {
            "embedding": embeddings(batch),
            "points": SIDE * torch.rand(batch, count, 2, generator=generator),
            "labels": torch.randint(-1, 4, (batch, count), generator=generator),
        }
        found = session.run(None, {name: x.numpy() for name, x in feed.items()})
        for ours, expected in zip(found, tiny()(**feed), strict=True):
            assert ours.dtype == np.float32
            assert abs(ours - expected.numpy()).max() <= 1e-4 * abs(expected).max()
