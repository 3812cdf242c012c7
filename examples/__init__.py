"""Photographs with open licences (see LICENSES.md): for the demo, and to verify builds with."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
PHOTOGRAPHS = tuple(
    FOLDER / name for name in ("chelsea.png", "cheetah1.jpg", "lion.jpg", "rocket.jpg")
)
