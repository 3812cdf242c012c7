"""One colour for each contender, the same in every plot."""

from __future__ import annotations

from collections.abc import Iterable

from ..rows import OURS

# Okabe and Ito's colours, told apart by people with any colour vision, and two greys.
KNOWN = {
    OURS: "#0072b2",
    "PyTorch eager": "#d55e00",
    "PyTorch compiled": "#e69f00",
    "onnxruntime": "#009e73",
    "OpenVINO": "#cc79a7",
    "PyTorch eager, unit inputs": "#f0e442",
    "system A, all cells": "#999999",
    "system B, point by point": "#555555",
}
OTHERS = ("#56b4e9", "#f0e442", "#009e73", "#cc79a7", "#999999", "#555555")


def colours(contenders: Iterable[str]) -> dict[str, str]:
    """The colours of contenders, ours first; one of no known name gets one that nobody has."""
    names = sorted(dict.fromkeys(contenders), key=lambda name: name != OURS)
    taken = {KNOWN[name] for name in names if name in KNOWN}
    free = [colour for colour in OTHERS if colour not in taken] or list(OTHERS)
    unknown = [name for name in names if name not in KNOWN]
    given = {name: free[number % len(free)] for number, name in enumerate(unknown)}
    return {name: KNOWN.get(name) or given[name] for name in names}
