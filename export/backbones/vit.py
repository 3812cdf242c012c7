"""What DINOv2 and DINOv3 have in common: a vision transformer up to its last tap."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ...runtime.errors import InputError
from ...runtime.recipe import BackboneUse
from ..state_dict import load_into
from .vit_keys import renamed

# Of no use to a frame's tokens: the masked-patch token, classifiers, a norm for training's crops.
UNNEEDED = ("mask_token", "head.", "classifier.", "local_cls_norm.", "norm.")


class VisionTransformer(nn.Module, ABC):
    """Blocks over a class token, perhaps registers, and a token for each patch.

    Taps, all without the tokens that are no patch: `blockN`, what block N (counted from 0) puts
    out, before the final normalisation; `norm`, the last block's output after it. Blocks after
    the last tap are left out. The frame side is fixed, so position is a constant.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(
        self, taps: Sequence[str], patch: nn.Conv2d, blocks: nn.ModuleList, norm: nn.Module
    ) -> None:
        super().__init__()
        last = len(blocks) - 1
        indices = {"norm": last} | {f"block{index}": index for index in range(last + 1)}
        if unknown := [tap for tap in taps if tap not in indices]:
            raise InputError(
                f"{type(self).__name__} has no tap {unknown[0]!r}; "
                f"it has block0 to block{last}, and norm"
            )
        self.taps = tuple(taps)
        self.patch = patch
        self.blocks = blocks[: max(indices[tap] for tap in taps) + 1]
        self.norm = norm if "norm" in taps else None

    @abstractmethod
    def embed(self, patches: Tensor) -> Tensor:
        """Patch embeddings (batch, cells, c) to all tokens (batch, extra + cells, c)."""

    def run(self, block: nn.Module, tokens: Tensor) -> Tensor:
        """One block on all tokens."""
        return block(tokens)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, 3, side, side), normalised, to one (batch, c, h, w) per tap."""
        grid = self.patch(image)
        tokens = self.embed(grid.flatten(2).transpose(1, 2))
        outputs = {}
        for index, block in enumerate(self.blocks):
            tokens = self.run(block, tokens)
            outputs[f"block{index}"] = tokens
        if self.norm is not None:
            outputs["norm"] = self.norm(tokens)
        rows, cols = grid.shape[-2:]
        return [
            outputs[tap][:, -rows * cols :].transpose(1, 2).unflatten(2, (rows, cols))
            for tap in self.taps
        ]

    def load_checkpoint(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a checkpoint in any format `vit_keys.renamed` knows.

        Raises GeoAwareError for weights of another architecture.
        """
        load_into(self, self.adapt(renamed(state, len(self.blocks))), ignore=UNNEEDED)

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint's tensors as this network's own."""
        return state


def tap_names(use: BackboneUse) -> list[str]:
    """The taps that are asked for, in their order."""
    return [tap.at for tap in use.taps]


def check_side(use: BackboneUse, side: int, patch: int) -> None:
    """Raise InputError for a frame side that is no multiple of the patch size."""
    if side % patch:
        below = side // patch * patch
        raise InputError(
            f"{use.name} needs a frame side divisible by {patch}, "
            f"such as {below} or {below + patch}, not {side}"
        )
