"""What the UNet is told besides the image, embedded at build time: a text, and the time step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ....runtime.errors import GeoAwareError, InputError, first_line
from ...state_dict import load_into

# CLIP's <|startoftext|> and <|endoftext|>; Stable Diffusion's tokenizer pads with the latter.
START, END = 49406, 49407


def token_ids(text: str, length: int, tokenizer: Path | None) -> Tensor:
    """(1, length) int64: start, the text's tokens, cut where they are too many, end as padding.

    `tokenizer` is the folder of `vocab.json` and `merges.txt`; an empty text needs none. Raises
    InputError for a text without those files.
    """
    words = _tokens(text, tokenizer)[: length - 2] if text else []
    return torch.tensor([[START, *words, *[END] * (length - 1 - len(words))]])


def _tokens(text: str, tokenizer: Path | None) -> list[int]:
    if tokenizer is None or not all((tokenizer / n).exists() for n in ("vocab.json", "merges.txt")):
        raise InputError(
            f"a caption needs the tokenizer's vocab.json and merges.txt, and there are none in "
            f"{tokenizer or 'these weights'}; take weights in diffusers' layout, which have a "
            "folder `tokenizer`, or conditioning: empty"
        )
    try:
        words = CLIPTokenizer(str(tokenizer / "vocab.json"), str(tokenizer / "merges.txt"))
        return words(text, add_special_tokens=False)["input_ids"]
    except Exception as error:  # the tokenizers library raises plain Exceptions
        raise GeoAwareError(f"{tokenizer}: no tokenizer: {first_line(error)}") from None


@torch.no_grad()
def embed_text(config: CLIPTextConfig, state: Mapping[str, Tensor], ids: Tensor) -> Tensor:
    """(1, tokens, c): CLIP's last hidden state, after its final layer norm."""
    encoder = CLIPTextModel(config)
    bare = {key.removeprefix("text_model."): value for key, value in state.items()}
    load_into(encoder, bare, ignore=("embeddings.position_ids",))
    return encoder.eval()(ids).last_hidden_state


@torch.no_grad()
def embed_time(width: int, state: Mapping[str, Tensor] | None, timestep: int) -> Tensor:
    """(1, 4 * width): a time step's sinusoids through the time embedding of a UNet.

    `width` is that of the UNet's finest level, `state` the UNet's; None for random weights.
    """
    # The order and phase of Stable Diffusion's sinusoids: cosines first, from frequency 1.
    sinusoids = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
    embedding = TimestepEmbedding(width, 4 * width)
    if state is not None:
        prefix = "time_embedding."
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        load_into(embedding, own)
    return embedding.eval()(sinusoids(torch.tensor([timestep])))
