"""The packages that training needs."""

from __future__ import annotations


def require_extra() -> None:
    """Raise GeoAwareError where packages of the `train` extra are missing."""
    from ...runtime.doctor import require

    require("train", "training", "train,embedded")
