"""How many times as fast as a rival we are, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

from ..rows import RATES, Spread
from .labels import figure


@dataclass(frozen=True)
class Ratio:
    """A rival's time over ours: more than 1 means that we are faster.

    low, high: its least and its greatest value within the 10th to 90th percentiles of both.
    Of rates it is ours over the rival's, of memory the rival's over ours: more than 1 is always
    in our favour.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: Spread, rival: Spread, unit: str) -> Ratio:
        """The ratio of two contenders' figures in a unit."""
        more, less = (ours, rival) if unit in RATES else (rival, ours)
        return cls(more.median / less.median, more.p10 / less.p90, more.p90 / less.p10)

    @property
    def is_tie(self) -> bool:
        """Whether the two ranges overlap, so that neither is ahead."""
        return self.low <= 1 <= self.high

    def __str__(self) -> str:
        return "≈ 1" if self.is_tie else f"{figure(self.median)}×"
