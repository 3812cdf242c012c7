"""Datasets of annotated image pairs, published ones and one's own."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Protocol

from ..errors import InputError
from .pair import AnnotatedImage, Listing, MirrorPairs, Pair, Problem, images

__all__ = [
    "DATASETS",
    "AnnotatedImage",
    "Listing",
    "MirrorPairs",
    "Pair",
    "Problem",
    "Spec",
    "images",
    "read",
    "root_of",
]


class Reader(Protocol):
    """What a dataset's module has: `read`, and the layout and source it tells of."""

    LAYOUT: str
    SOURCE: str

    def read(self, root: Path, split: str, setting: str) -> Listing:
        """All pairs of a split, sorted by name."""


@dataclass(frozen=True)
class Spec:
    """A dataset's name, where it is looked for, and what can be asked of it.

    folders: names it goes by under `$GEOAWARE_DATA`, where it has others than this one.
    splits: by setting, a variant of its pair lists, the usual one first; where there is one only,
        its name is empty.
    protocol: the protocol its results are most often given in.
    has_boxes: whether its annotations give the objects' boxes; None where some do.
    keypoint_tables: whether it is known which keypoints look alike and which change places in a
        mirror (see `keypoints`).
    evaluated: the split that is evaluated where none is named.
    """

    title: str
    module: str
    folders: tuple[str, ...]
    splits: dict[str, tuple[str, ...]]
    protocol: str
    has_boxes: bool | None
    keypoint_tables: bool
    evaluated: str = "test"

    def lists(self) -> list[tuple[str, str]]:
        """Every split with every setting that has it."""
        return [(split, setting) for setting in self.splits for split in self.splits[setting]]

    @property
    def usual_setting(self) -> str:
        """The setting that is meant where none is named."""
        return next(iter(self.splits))


_ALL = ("train", "val", "test")
_HELD_OUT = ("val", "test")
_NO_TEST = ("train", "val")

DATASETS = {
    "spair": Spec(
        "SPair-71k", "spair", ("SPair-71k",), {"large": _ALL, "small": _ALL}, "box",
        has_boxes=True, keypoint_tables=True,
    ),
    "pf-pascal": Spec(
        "PF-Pascal", "pf_pascal", ("PF-PASCAL", "PF-Pascal"), {"": _ALL}, "image",
        has_boxes=False, keypoint_tables=False,
    ),
    "pf-willow": Spec(
        "PF-Willow", "pf_willow", ("PF-WILLOW", "PF-Willow"), {"": ("test",)}, "keypoint-box",
        has_boxes=False, keypoint_tables=False,
    ),
    "ap10k": Spec(
        "AP-10K", "ap10k", ("AP-10K", "ap-10k"),
        {"intra-species": _ALL, "cross-species": _HELD_OUT, "cross-family": _HELD_OUT},
        "box-strict", has_boxes=True, keypoint_tables=True,
    ),
    "animal-pose": Spec(
        "Animal-Pose", "animal_pose", ("Animal-Pose", "AnimalPose-train"),
        {"within": _NO_TEST, "across": _NO_TEST}, "box",
        has_boxes=True, keypoint_tables=True, evaluated="val",
    ),
    "coco": Spec(
        "COCO keypoints", "coco_keypoints", ("coco",),
        {"within": _NO_TEST, "across": _NO_TEST}, "box",
        has_boxes=True, keypoint_tables=False, evaluated="val",
    ),
    "folder": Spec(
        "Own dataset", "folder", (), {"within": _ALL, "across": _ALL}, "keypoint-box",
        has_boxes=None, keypoint_tables=False, evaluated="val",
    ),
}  # fmt: skip


def root_of(name: str, root: str | None) -> Path:
    """The folder of a dataset: the one given, or under `$GEOAWARE_DATA`.

    Raises InputError where there is none, with the layout it should have and how to get it.
    """
    spec = DATASETS[name]
    if root:
        if not Path(root).is_dir():
            raise InputError(f"{root}: no such folder; {_how_to_get(name)}")
        return Path(root)
    data = os.environ.get("GEOAWARE_DATA")
    if data:
        for folder in (*spec.folders, name):
            if (found := Path(data) / folder).is_dir():
                return found
    raise InputError(_nowhere(name, data))


def read(name: str, root: Path, split: str, setting: str | None = None) -> Listing:
    """All pairs of a dataset's split, sorted by name, and the problems of its annotations.

    With them comes which keypoints change places in a mirror, as far as that is known.

    Raises InputError for a split or setting the dataset does not have and where a file that the
    layout needs is missing, GeoAwareError for one that cannot be read.
    """
    spec = DATASETS[name]
    if setting and setting not in spec.splits:
        known = ", ".join(filter(None, spec.splits)) or "none"
        raise InputError(f"{spec.title} has no setting {setting!r}; it has {known}")
    setting = setting or spec.usual_setting
    if split not in spec.splits[setting]:
        known = ", ".join(spec.splits[setting])
        where = f" in setting {setting}" if setting else ""
        raise InputError(f"{spec.title} has no split {split!r}{where}; it has {known}")
    listing = _module(name).read(root, split, setting)
    if not spec.keypoint_tables:
        return listing
    return replace(listing, mirror_pairs=_from_tables(name, listing))


def _from_tables(name: str, listing: Listing) -> dict[str, MirrorPairs]:
    from .keypoints import mirror_pairs

    categories = sorted({pair.category for pair in listing.pairs})
    found = ((category, mirror_pairs(name, category)) for category in categories)
    return {category: pairs for category, pairs in found if pairs is not None}


def _nowhere(name: str, data: str | None) -> str:
    spec = DATASETS[name]
    asked = f"{spec.title}: give its folder with --root"
    if not spec.folders:
        return f"{asked}; {_module(name).SOURCE}"
    if not data:
        holder = f"or set GEOAWARE_DATA to the folder that holds {spec.folders[0]}"
        return f"{asked}, {holder}; {_how_to_get(name)}"
    missing = Path(data) / spec.folders[0]
    return f"{missing}: no such folder; give another with --root; {_how_to_get(name)}"


def _how_to_get(name: str) -> str:
    module = _module(name)
    return f"{module.LAYOUT} {module.SOURCE}"


def _module(name: str) -> Reader:
    module: Reader = import_module(f".{DATASETS[name].module}", __name__)
    return module
