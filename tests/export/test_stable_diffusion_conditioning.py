"""What Stable Diffusion is told besides the image, against plain re-computations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from geoaware.export.backbones.stable_diffusion.text import embed_text, token_ids
from geoaware.runtime.errors import GeoAwareError, InputError

from .tiny_diffusion import TINY, image, made, networks, states
from .whole_diffusion import empty_text, in_a_loop, taps_of_window

WORDS = {"a": 320, "photo": 1125, "cat": 2368}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that knows three words, in the files that CLIP's comes in."""
    folder = tmp_path_factory.mktemp("tokenizer")
    vocabulary, merges = {"<|startoftext|>": 49406, "<|endoftext|>": 49407}, []
    for word, number in WORDS.items():
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        for piece in pieces:
            vocabulary.setdefault(piece, 40_000 + len(vocabulary))
        while len(pieces) > 1:
            merges.append(f"{pieces[0]} {pieces[1]}")
            pieces[:2] = ["".join(pieces[:2])]
            vocabulary.setdefault(pieces[0], 40_000 + len(vocabulary))
        vocabulary[f"{word}</w>"] = number
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    return folder


def test_an_empty_text_is_padded_with_the_end():
    assert token_ids("", 77, None).tolist() == [[49406] + [49407] * 76]


def test_a_caption_stands_between_start_and_end(tokenizer: Path):
    ids = token_ids("A photo  a CAT", 77, tokenizer)
    assert ids.tolist() == [[49406, 320, 1125, 320, 2368] + [49407] * 72]


def test_a_long_caption_is_cut_before_the_end(tokenizer: Path):
    ids = token_ids("cat " * 200, 77, tokenizer)
    assert ids.tolist() == [[49406] + [2368] * 75 + [49407]]


def test_a_caption_without_a_tokenizer_is_refused(tmp_path: Path):
    for folder in (None, tmp_path):
        with pytest.raises(InputError, match=r"a caption needs .*vocab\.json"):
            token_ids("a cat", 77, folder)


def test_a_damaged_tokenizer_is_refused_in_one_line(tmp_path: Path):
    (tmp_path / "vocab.json").write_text("{")
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(GeoAwareError, match="no tokenizer"):
        token_ids("a cat", 77, tmp_path)


@torch.inference_mode()
def test_the_text_is_the_last_hidden_state_after_the_final_norm():
    network = networks()["text_encoder"]
    ids = torch.tensor([[49406, 320, *[49407] * 75]])
    read = {}
    handle = network.final_layer_norm.register_forward_hook(
        lambda *call: read.update(normed=call[2])
    )
    network(ids)
    handle.remove()
    published = states()["text_encoder"] | {
        "text_model.embeddings.position_ids": torch.arange(77)[None]
    }
    assert torch.equal(embed_text(TINY.text, published, ids), read["normed"])


@torch.inference_mode()
def test_a_caption_changes_the_taps_as_the_whole_network_says(tokenizer: Path):
    frame = image(64, batch=1)
    ids = torch.tensor([[49406, 320, 2368] + [49407] * 74])
    text = networks()["text_encoder"](ids).last_hidden_state
    taps = {"conditioning": "caption", "caption": "a cat", "tokenizer": tokenizer}
    ours = made(states(), 64, **taps)(frame)
    for tensor, theirs in zip(ours, taps_of_window(frame, text=text).values(), strict=True):
        torch.testing.assert_close(tensor, theirs, rtol=1e-4, atol=1e-4)


def captioner() -> dict[str, Tensor]:
    """A captioner's tensors as ODISE's checkpoint names them."""
    generator = torch.Generator().manual_seed(3)
    shapes = {
        "clip_project.linear.weight": (24, 16),
        "clip_project.linear.bias": (24,),
        "clip_project.positional_embedding": (1, 77, 24),
        "alpha_cond": (1, 77, 24),
        "time_embed_project.linear.weight": (64, 16),
        "time_embed_project.linear.bias": (64,),
        "time_embed_project.positional_embedding": (1, 1, 64),
        "alpha_cond_time_embed": (64,),
    }
    return {
        f"backbone.feature_extractor.{name}": torch.randn(shape, generator=generator)
        for name, shape in shapes.items()
    }


def cubic(inputs: int, outputs: int) -> Tensor:
    """(outputs, inputs): cubic convolution, a = -0.75, half-pixel centres, border repeated."""
    matrix = torch.zeros(outputs, inputs)
    for row in range(outputs):
        centre = (row + 0.5) * inputs / outputs - 0.5
        first = int(centre // 1) - 1
        for tap in range(first, first + 4):
            d, a = abs(centre - tap), -0.75
            near = (a + 2) * d**3 - (a + 3) * d**2 + 1
            far = a * (d**3 - 5 * d**2 + 8 * d - 4)
            matrix[row, min(max(tap, 0), inputs - 1)] += near if d <= 1 else far
    return matrix


def implicit_taps(window: Tensor) -> dict[str, Tensor]:
    """One window as ODISE's captioner conditions it."""
    key, w = "backbone.feature_extractor.", captioner()
    resize = cubic(window.shape[-1], 56)
    seen = resize @ ((window + 1) / 2) @ resize.T
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    e = networks()["clip"]((seen - mean) / std).image_embeds
    text = e @ w[f"{key}clip_project.linear.weight"].T + w[f"{key}clip_project.linear.bias"]
    text = text[:, None] + w[f"{key}clip_project.positional_embedding"]
    time = e @ w[f"{key}time_embed_project.linear.weight"].T
    time = time + w[f"{key}time_embed_project.linear.bias"]
    time = time + w[f"{key}time_embed_project.positional_embedding"][0]
    return taps_of_window(
        window,
        text=empty_text() + torch.tanh(w[f"{key}alpha_cond"]) * text,
        shift=torch.tanh(w[f"{key}alpha_cond_time_embed"]) * time,
    )


@torch.inference_mode()
def test_implicit_conditioning_shifts_text_and_time_by_what_clip_sees_in_each_window():
    clip = states()["clip"] | {
        "text_model.final_layer_norm.weight": torch.zeros(3),
        "text_projection.weight": torch.zeros(3),
        "logit_scale": torch.zeros(()),
        "vision_model.embeddings.position_ids": torch.arange(17)[None],
    }
    others = {"sem_seg_head.predictor.query.weight": torch.zeros(3)}
    given = states() | {"clip": clip, "captioner": captioner() | others}
    frame = image(192)
    theirs = in_a_loop(frame, [0, 64], 128, implicit_taps)
    ours = made(given, 192, conditioning="implicit")(frame)
    for tensor, tap in zip(ours, ("s5", "s4", "s3"), strict=True):
        torch.testing.assert_close(tensor, theirs[tap], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_random_captioner_sees_the_image():
    torch.manual_seed(0)
    conditioning = made(None, conditioning="implicit").conditioning
    text, time = conditioning(image(128, batch=2))
    assert (text[0] - text[1]).abs().max() > 1e-3
    assert (time[0] - time[1]).abs().max() > 1e-3


@pytest.mark.parametrize("role", ["clip", "captioner"])
def test_implicit_conditioning_names_the_weights_that_are_missing(role: str):
    given = states() | {"captioner": captioner()}
    del given[role]
    with pytest.raises(GeoAwareError, match=f"no '{role}'"):
        made(given, conditioning="implicit")
