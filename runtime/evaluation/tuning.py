"""Grid search over window and temperature, with the similarities of a pair computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...kernels import SoftArgmax, Variant
from ..datasets import Pair
from ..errors import InputError
from ..matcher import Matcher
from ..recipe import Matching
from ..store import StoredMap
from .material import gather, select
from .prediction import Predictor
from .protocols import Protocol, check_boxes
from .request import Inputs
from .results import key
from .watch import Watch

WINDOWS: dict[Variant, tuple[int, ...]] = {
    "cropped": (3, 5, 7, 9, 11, 15),
    "zeroed": (1, 2, 3, 5, 7, 9),
}
TEMPERATURES: dict[Variant, tuple[float, ...]] = {
    "cropped": (0.05, 0.1, 0.2, 0.5, 1.0),
    "zeroed": (0.01, 0.02, 0.03, 0.05, 0.1),
}


@dataclass(frozen=True)
class Search:
    """The settings to try: every window with every temperature, and plain argmax."""

    variant: Variant
    windows: tuple[int, ...]
    temperatures: tuple[float, ...]

    def settings(self) -> list[SoftArgmax | None]:
        """Row by row, windows down and temperatures across; argmax, as None, last.

        Raises InputError for a setting that cannot be.
        """
        try:
            grid = [
                SoftArgmax(window, temperature, self.variant)
                for window in self.windows
                for temperature in self.temperatures
            ]
        except ValueError as error:
            raise InputError(str(error)) from None
        return [*grid, None]


@dataclass(frozen=True, eq=False)
class Tuned:
    """PCK per image in percent of every setting of a search, by alpha.

    grid: (alphas, windows, temperatures). argmax: (alphas,).
    """

    search: Search
    protocol: Protocol
    alphas: tuple[float, ...]
    grid: NDArray[np.float64]
    argmax: NDArray[np.float64]
    pairs: int
    fingerprint: str

    def best(self, number: int) -> Matching:
        """The best setting at the alpha of this number; the smaller window among equals."""
        if self.argmax[number] >= self.grid[number].max():
            return Matching()
        row, column = np.unravel_index(self.grid[number].argmax(), self.grid[number].shape)
        return Matching(
            method="softargmax",
            window=self.search.windows[row],
            temperature=self.search.temperatures[column],
            variant=self.search.variant,
        )


def tune(
    inputs: Inputs,
    weights: tuple[float, ...],
    search: Search,
    protocol: Protocol,
    alphas: tuple[float, ...],
    watch: Watch,
) -> Tuned:
    """Score every setting of a search on a dataset's pairs.

    Raises InputError for settings that cannot be, GeoAwareError where the run fails.
    """
    settings = search.settings()
    selected = select(inputs, watch)
    check_boxes(selected.pairs, [protocol])
    material = gather(inputs, selected, watch)
    matcher = Matcher(Matching(), weights)
    predictor = Predictor(inputs.dataset, matcher, material.stores, material.keys)

    def shares(
        pair: Pair, source: Sequence[StoredMap], target: Sequence[StoredMap]
    ) -> tuple[str, NDArray[np.float64]]:
        asked, truth = pair.source.points[pair.mutual], pair.target.points[pair.mutual]
        found, _ = matcher.find(source, target, asked, settings)
        off = np.stack(found) - truth
        correct = protocol.correct(pair, np.hypot(off[..., 0], off[..., 1]), alphas)
        return pair.name, correct.mean(axis=1)

    by_name: dict[str, NDArray[np.float64]] = {}
    with watch.stage(f"{len(settings)} settings", len(material.pairs), "pairs") as advance:
        for made in predictor.each(shares, material.pairs, inputs.workers):
            by_name |= dict(made)
            advance(len(made))
    mean = 100 * np.mean([by_name[pair.name] for pair in material.pairs], axis=0).round(8).T
    shape = len(alphas), len(search.windows), len(search.temperatures)
    return Tuned(
        search,
        protocol,
        alphas,
        mean[:, :-1].reshape(shape),
        mean[:, -1],
        len(material.pairs),
        material.fingerprint,
    )


def as_json(tuned: Tuned) -> dict[str, object]:
    """A search's numbers, for programs."""
    return {
        "protocol": tuned.protocol.name,
        "formula": tuned.protocol.formula,
        "pairs": tuned.pairs,
        "fingerprint": tuned.fingerprint,
        "variant": tuned.search.variant,
        "windows": list(tuned.search.windows),
        "temperatures": list(tuned.search.temperatures),
        "alphas": {
            key(alpha): {
                "pck": tuned.grid[number].tolist(),
                "argmax": float(tuned.argmax[number]),
                "best": tuned.best(number).model_dump(exclude_none=True),
                "best_pck": float(max(tuned.grid[number].max(), tuned.argmax[number])),
            }
            for number, alpha in enumerate(tuned.alphas)
        },
    }
