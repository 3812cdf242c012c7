"""What the UNet attends to and the time it is told: fixed, or as the image suggests (ODISE)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class Fixed(nn.Module):
    """The same text (1, tokens, c) and time (1, t) for every image."""

    def __init__(self, text: Tensor, time: Tensor) -> None:
        super().__init__()
        self.register_buffer("text", text, persistent=False)
        self.register_buffer("time", time, persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 3, side, side) to text (batch, tokens, c) and time (1, t)."""
        return self.text.expand(image.shape[0], -1, -1), self.time


class PositionalLinear(nn.Module):
    """One vector to `count` vectors: a linear map, and an offset that is each one's own."""

    def __init__(self, inputs: int, outputs: int, count: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.positional_embedding = nn.Parameter(torch.randn(1, count, outputs) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, count, outputs)."""
        return self.linear(x).unsqueeze(1) + self.positional_embedding


class Captioner(nn.Module):
    """ODISE's implicit captioner (Xu et al., CVPR 2023, section 3.3), under its own keys.

    An image's embedding e shifts the text by tanh(alpha) * (W e + p), and the embedded time by an
    expression of the same form.
    """

    def __init__(self, embedding: int, text: tuple[int, int], time: int) -> None:
        super().__init__()
        tokens, width = text
        self.clip_project = PositionalLinear(embedding, width, tokens)
        self.time_embed_project = PositionalLinear(embedding, time, 1)
        # Training begins at zero, where the image would have no say in random features.
        self.alpha_cond = nn.Parameter(torch.randn(1, tokens, width))
        self.alpha_cond_time_embed = nn.Parameter(torch.randn(time))

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, embedding) to the shifts of text (batch, tokens, c) and time (batch, t)."""
        text = torch.tanh(self.alpha_cond) * self.clip_project(embedding)
        time = torch.tanh(self.alpha_cond_time_embed) * self.time_embed_project(embedding)[:, 0]
        return text, time


class Implicit(nn.Module):
    """Text and time shifted by what CLIP sees in each image."""

    def __init__(self, text: Tensor, time: Tensor, vision: CLIPVisionConfig) -> None:
        super().__init__()
        self.register_buffer("text", text, persistent=False)
        self.register_buffer("time", time, persistent=False)
        self.clip = CLIPVisionModelWithProjection(vision)
        shape = (text.shape[1], text.shape[2])
        self.captioner = Captioner(vision.projection_dim, shape, time.shape[1])
        self.side = vision.image_size
        mean, std = torch.tensor(CLIP_MEAN), torch.tensor(CLIP_STD)
        # From [-1, 1]: ((x + 1) / 2 - mean) / std.
        self.register_buffer("scale", (0.5 / std).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", ((0.5 - mean) / std).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 3, side, side) in [-1, 1] to text (batch, tokens, c) and time (batch, t).

        ODISE brings images to CLIP's size as torchvision did tensors up to 0.14, bicubic without
        antialiasing, and takes the projected embedding as it is, not normalised.
        """
        seen = F.interpolate(image, (self.side, self.side), mode="bicubic", align_corners=False)
        embedding = self.clip(seen * self.scale + self.shift).image_embeds
        text, time = self.captioner(embedding)
        return self.text + text, self.time + time
