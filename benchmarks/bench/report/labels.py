"""Cases and figures in words."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..compare import FEWEST as FEW
from ..rows import Spread, Suite


def label(suite: Suite, keys: Mapping[str, str | int]) -> str:
    """What was done, on one line."""
    if suite == "features":
        return _features(keys)
    if suite == "matching":
        return f"{points(keys['points'])}, {size(keys)}"
    return ", ".join(map(str, keys.values()))


def is_random(keys: Mapping[str, str | int]) -> bool:
    """Whether the weights of a case were not trained."""
    return keys.get("weights") == "random"


def size(keys: Mapping[str, str | int]) -> str:
    """The size of a case's feature maps: rows, columns, channels."""
    return f"{keys['grid']}×{keys['grid']}×{keys['channels']}"


def points(count: str | int) -> str:
    """How many points, in words."""
    if count == "all":
        return "all cells"
    return "1 point" if count == 1 else f"{count} points"


def figure(value: float) -> str:
    """A number with three digits that count."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def spread_text(spread: Spread, unit: str) -> str:
    """A median with its unit, and the 10th to 90th percentile where there are several figures."""
    text = f"{figure(spread.median)} {unit}"
    if spread.count > 1:
        few = f"; {spread.count} runs" if spread.count < FEW else ""
        text += f" ({figure(spread.p10)}–{figure(spread.p90)}{few})"
    return text


def _features(keys: Mapping[str, str | int]) -> str:
    """Recipe, precision and, as far as it came to that, the rest."""
    forms = {"frame": "{} px", "batch": "batch {}", "from": "{}"}
    text = ", ".join(form.format(keys[key]) for key, form in forms.items() if key in keys)
    random = "random weights" if is_random(keys) else ""
    return ", ".join(filter(None, [f"{keys['recipe']} {keys['precision']}", text, random]))
