"""SAM's prompt encoder and mask decoder: points and boxes on an encoded image to masks.

"Segment Anything" (Kirillov et al., ICCV 2023), section 3 and appendix A.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder

from ..runtime.errors import InputError
from .backbones.sam import PATCH
from .backbones.sam_keys import of_decoder
from .state_dict import load_into

# What a whole SAM has besides: the image encoder, and the encoder of masks given as prompts.
_UNUSED = ("image_encoder.", "vision_encoder.", "pixel_", "prompt_encoder.mask_")


class MaskDecoder(nn.Module):
    """Prompts on an image's embedding to four masks: the single one, then three of a choice.

    A prompt is a list of points in frame pixels. Labels say what they are: 1 on the object, 0 on
    the background, 2 and 3 the top left and bottom right corners of a box, -1 padding. SAM was
    trained with one padding point at the end of every prompt that has no box.
    """

    def __init__(self, config: SamMaskDecoderConfig, side: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.side, self.grid = side, side // PATCH
        self.frequencies = nn.Parameter(torch.randn(2, width // 2))
        self.kinds = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point, self.no_mask = nn.Embedding(1, width), nn.Embedding(1, width)
        self.mask_decoder = SamMaskDecoder(config)
        self.register_buffer("positions", self._image_positions(), persistent=False)

    def forward(self, embedding: Tensor, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Masks (batch, 4, 4 grid, 4 grid), positive on the object, and scores (batch, 4).

        embedding: (batch, width, grid, grid) float32, the image encoder's `neck`.
        points: (batch, n, 2) float32. labels: (batch, n) int64.
        """
        parts = self.mask_decoder
        batch, width, grid, _ = embedding.shape
        outputs = torch.cat([parts.iou_token.weight, parts.mask_tokens.weight])
        prompt = self._prompt(points, labels)
        tokens = torch.cat([outputs.expand(batch, -1, -1), prompt], dim=1)
        tokens, image = parts.transformer(
            point_embeddings=tokens[:, None],
            image_embeddings=embedding + self.no_mask.weight[0, :, None, None],
            image_positional_embeddings=self.positions,
            attention_similarity=None,
        )
        image = image[:, 0].transpose(1, 2).reshape(batch, width, grid, grid)
        image = parts.activation(parts.upscale_layer_norm(parts.upscale_conv1(image)))
        image = parts.activation(parts.upscale_conv2(image))
        weights = [
            mlp(tokens[:, 0, i + 1]) for i, mlp in enumerate(parts.output_hypernetworks_mlps)
        ]
        masks = torch.stack(weights, dim=1) @ image.flatten(2)
        scores = parts.iou_prediction_head(tokens[:, 0, 0])
        return masks.reshape(batch, -1, 4 * grid, 4 * grid), scores

    def _prompt(self, points: Tensor, labels: Tensor) -> Tensor:
        """Points and labels to tokens (batch, n, width)."""
        kinds = [self.not_a_point.weight, *(kind.weight for kind in self.kinds)]
        places = self._encoded((points + 0.5) / self.side)  # a pixel's point is its centre
        places = places * (labels >= 0).to(places.dtype)[..., None]
        return places + torch.cat(kinds)[labels + 1]

    def _image_positions(self) -> Tensor:
        """The positions of the embedding's cells (1, width, grid, grid)."""
        centres = (torch.arange(self.grid) + 0.5) / self.grid
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        return self._encoded(torch.stack([x, y], dim=-1)).detach().permute(2, 0, 1)[None]

    def _encoded(self, places: Tensor) -> Tensor:
        """Places (…, 2) in [0, 1] to random Fourier features (…, width)."""
        angles = 2 * math.pi * ((2 * places - 1) @ self.frequencies)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load weights as the original or transformers names them, of a whole SAM.

        Raises GeoAwareError for weights of another architecture.
        """
        load_into(self, of_decoder(state), ignore=_UNUSED)
        self.positions = self._image_positions()


def load_decoder(states: Mapping[str, Mapping[str, Tensor]] | None, side: int) -> MaskDecoder:
    """The decoder that all sizes of SAM share, for embeddings of frames of this side.

    states: {"model": a whole SAM's tensors}; None for random weights.

    Raises InputError for a side that is no multiple of 16, GeoAwareError for other weights.
    """
    if side % PATCH:
        raise InputError(f"SAM's masks need a frame side divisible by {PATCH}, not {side}")
    # The published norms have torch's epsilon; transformers' have 1e-6 here.
    decoder = MaskDecoder(
        SamMaskDecoderConfig(layer_norm_eps=1e-5, attn_implementation="eager"), side
    )
    if states is not None:
        decoder.load(states["model"])
    return decoder.eval()
