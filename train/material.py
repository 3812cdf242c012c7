"""What is learnt from: annotated pairs of a dataset's train split, and some of its val split."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.datasets import DATASETS, Listing, Pair, images, read, root_of
from ..runtime.datasets.keypoints import partner_rows
from ..runtime.errors import GeoAwareError
from ..runtime.evaluation.selection import Selection, fingerprint
from ..runtime.evaluation.watch import Watch
from ..runtime.store import Key
from .settings import Data, Validation
from .validation import sample


@dataclass(frozen=True)
class Material:
    """Pairs to learn from and pairs to validate on.

    listings: of both splits, as they were read.
    """

    train: list[Pair]
    val: list[Pair]
    listings: tuple[Listing, Listing]

    @property
    def images(self) -> list[Path]:
        """Every image of the pairs."""
        return images([*self.train, *self.val])

    def readable(self, paths: Container[Path]) -> Material:
        """Only the pairs of these images. Raises GeoAwareError where a split has none left."""
        train, val = (
            [pair for pair in pairs if pair.source.path in paths and pair.target.path in paths]
            for pairs in (self.train, self.val)
        )
        if not (train and val):
            raise GeoAwareError("no pair is left whose images can be read")
        return replace(self, train=train, val=val)

    def partners(self, pair: Pair) -> NDArray[np.intp] | None:
        """The rows that a pair's keypoints change places with in a mirror; None where unknown."""
        known = self.listings[0].mirror_pairs.get(pair.category)
        return None if known is None else partner_rows(known, pair.ids)

    def facts(self, keys: Mapping[Path, Key]) -> dict[str, Any]:
        """How much it is and which, for the record of a run. keys: of every image."""
        splits = {"train": self.train, "val": self.val}
        return {
            "images": len(self.images),
            **{f"{split}_pairs": len(pairs) for split, pairs in splits.items()},
            "skipped_pairs": sum(each.skipped for each in self.listings),
            "fingerprints": {split: fingerprint(pairs, keys) for split, pairs in splits.items()},
        }


def gather(data: Data, validation: Validation, watch: Watch) -> Material:
    """Read both splits, and draw the pairs to validate on; problems are told.

    Raises InputError for a dataset or a category that is not there, GeoAwareError where a split has
    no pair.
    """
    root = root_of(data.dataset, data.root)
    listings = _read(data, root, "train", watch), _read(data, root, "val", watch)
    train = Selection(data.categories).of(listings[0].pairs)
    val = Selection(validation.categories or data.categories).of(listings[1].pairs)
    for split, pairs in (("train", train), ("val", val)):
        if not pairs:
            raise GeoAwareError(f"{root}: no pair of the split {split} is left")
    return Material(train, sample(val, validation.pairs), listings)


def _read(data: Data, root: Path, split: str, watch: Watch) -> Listing:
    with watch.stage(f"{DATASETS[data.dataset].title}: {split}", 1, "lists"):
        listing = read(data.dataset, root, split, data.setting)
    if listing.problems:
        watch.problems(listing.problems)
    return listing
