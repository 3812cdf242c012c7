"""What libraries say where the GPU's memory does not suffice."""

from __future__ import annotations

import re

_WORDS = re.compile(r"out ?of ?memory|memory.*allocat|allocat.*memory", re.IGNORECASE)


def is_out_of_memory(message: str) -> bool:
    """Whether a message of TensorRT or onnxruntime says so."""
    return bool(_WORDS.search(message))
