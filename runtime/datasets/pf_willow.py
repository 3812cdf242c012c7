"""PF-Willow: ten subsets of ten images each; every ordered pair within a subset."""

from __future__ import annotations

from itertools import groupby, permutations
from pathlib import Path

import numpy as np

from ..errors import InputError
from .inspector import Inspector, check_scipy, check_unpacked
from .pair import AnnotatedImage, Listing, Pair

LAYOUT = "PF-Willow is a folder with PF-dataset/<subset>/*.png and a .mat beside each."
SOURCE = "Get it: https://www.di.ens.fr/willow/research/proposalflow/dataset/PF-dataset.zip"

KEYPOINTS = 10


def read(root: Path, split: str, setting: str) -> Listing:
    """All ordered pairs within each subset; the subset is the category. There is one split.

    Raises InputError where there is no image, GeoAwareError where scipy is not installed.
    """
    folder = root / "PF-dataset"
    check_unpacked([folder], LAYOUT, SOURCE)
    check_scipy("PF-Willow")
    names = _names(folder)
    if not names:
        raise InputError(f"{folder}: holds no image; {LAYOUT} {SOURCE}")
    inspector = Inspector()
    for subset, group in groupby(names, key=lambda name: name.parent):
        images = {name.name: _image(inspector, name) for name in group}
        for a, b in permutations(images, 2):
            inspector.add(_pair(subset.name, a, b, images[a], images[b]))
    return inspector.listing()


def _names(folder: Path) -> list[Path]:
    """Images, without suffix, of which there is a picture, an annotation or both, sorted."""
    files = [path for suffix in ("png", "mat") for path in folder.glob(f"*/[!.]*.{suffix}")]
    return sorted({path.with_suffix("") for path in files})


def _pair(
    subset: str, a: str, b: str, source: AnnotatedImage | None, target: AnnotatedImage | None
) -> Pair | None:
    if source is None or target is None:
        return None
    return Pair(f"{subset}/{a}-{b}", subset, source, target, tuple(range(KEYPOINTS)))


def _image(inspector: Inspector, name: Path) -> AnnotatedImage | None:
    picture, annotation = (name.with_name(name.name + suffix) for suffix in (".png", ".mat"))
    found = inspector.matrix(annotation, "pts_coord")
    there = inspector.size(picture)
    if found is None or there is None:
        return None
    if found.shape != (2, KEYPOINTS) or np.isnan(found).any():
        inspector.problem(annotation, f"'pts_coord' is not 2 x {KEYPOINTS} coordinates")
        return None
    return inspector.annotated(annotation, picture, found.T)
