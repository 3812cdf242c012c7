"""Stable Diffusion 1.5 as a feature extractor: VAE encoder, noise, and the UNet up to its taps.

Features are those of Zhang et al., "Telling Left from Right" (CVPR 2024), which reads them through
ODISE (Xu et al., CVPR 2023): overlapping windows of 512 pixels, each noised by the same tensor,
FreeU on the up path, taps before the skip connection joins.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ....runtime.recipe import BackboneUse
from .architecture import SD15
from .features import StableDiffusion, build

__all__ = ["StableDiffusion", "load"]


def load(
    states: Mapping[str, Mapping[str, Tensor]] | None,
    use: BackboneUse,
    side: int,
    tokenizer: Path | None = None,
) -> StableDiffusion:
    """Stable Diffusion 1.5, computing the taps asked for of frames of this side.

    Args:
        states: state dicts by role: `unet`, `vae` and `text_encoder` as diffusers names them, or
            `model`, a whole checkpoint of CompVis' format (`unet` beside it takes its UNet's
            place); for conditioning `implicit` also `clip` (CLIP ViT-L/14@336 of transformers)
            and `captioner` (ODISE's checkpoint). None for random weights, drawn from torch's
            generator; the text's embedding is then drawn as well.
        use: the taps, among s5, s4 and s3, and how the diffusion model is asked for them.
        side: frame side in pixels, a multiple of 64.
        tokenizer: the folder of `vocab.json` and `merges.txt`; only a caption needs it.

    Raises:
        InputError: an unknown tap, or a side that is no multiple of 64.
        GeoAwareError: a role is missing, or holds the weights of another architecture.
    """
    return build(SD15, states, use, side, tokenizer)
