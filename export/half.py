"""Half precision as `.half()` gives it, with the norms left in single."""

from __future__ import annotations

from torch import Tensor, nn

NORMS = (nn.LayerNorm, nn.GroupNorm)


class _InSingle(nn.Module):
    """A norm that computes in fp32 whatever it is given: its sums of squares overflow fp16."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm.float()

    def forward(self, x: Tensor) -> Tensor:
        """The norm of x, in x's dtype."""
        normed: Tensor = self.norm(x.float())
        return normed.to(x.dtype)


def halved(module: nn.Module) -> nn.Module:
    """The module itself, its weights and what it computes in fp16, but for its norms."""
    module.half()
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, NORMS):
                setattr(parent, name, _InSingle(child))
    return module
