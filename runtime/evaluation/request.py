"""What is asked of an evaluation: pairs and bundles, how to match, what to compute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..bundle import Bundle
from ..datasets import DATASETS, Pair
from ..datasets.keypoints import similar_groups
from ..engines import Device
from ..errors import InputError
from ..matcher import Matcher
from ..pose import Alignment
from ..segmenter import mask_decoder
from ..store import StoredAs
from .protocols import Protocol
from .selection import Selection


@dataclass(frozen=True)
class Inputs:
    """A dataset, a choice of its pairs, and the bundles that describe their images.

    strict: whether a problem of the annotations
    stops the run; otherwise the pairs concerned are skipped and counted.
    """

    dataset: str
    root: Path
    split: str
    setting: str
    selection: Selection
    bundles: tuple[Bundle, ...]
    store: Path
    stored_as: StoredAs
    device: Device
    workers: int
    strict: bool = False


@dataclass(frozen=True)
class Method:
    """How keypoints are found.

    mutual: whether matches are checked to be mutual nearest neighbours.
    alignment: whether and by what the source or its mirror image is chosen.
    masks, mask_bundle: for alignment by mask, the folder of the images' masks, or the bundle that
        makes them.
    """

    matcher: Matcher
    mutual: bool = False
    alignment: Alignment | None = None
    masks: Path | None = None
    mask_bundle: Bundle | None = None


@dataclass(frozen=True)
class Scoring:
    """What is computed from the outcomes.

    alphas: instead of each protocol's own. geometry_aware, per_keypoint: those parts too.
    """

    protocols: Sequence[Protocol]
    alphas: tuple[float, ...] = ()
    geometry_aware: bool = False
    per_keypoint: bool = False


def check(inputs: Inputs, method: Method, scoring: Scoring) -> None:
    """Raise InputError for what cannot be, before anything is read."""
    spec = DATASETS[inputs.dataset]
    if method.alignment and not spec.keypoint_tables:
        raise InputError(
            f"{spec.title} has no table of which keypoints change places in a mirror, "
            "so --pose-alignment has no meaning there"
        )
    if scoring.geometry_aware and not spec.keypoint_tables:
        raise InputError(f"{spec.title} has no table of look-alike keypoints for --geo-aware")
    _check_masks(method)


def _check_masks(method: Method) -> None:
    if method.masks is not None and method.mask_bundle is not None:
        raise InputError("--masks DIR has the masks, --mask-bundle NAME makes them; give one")
    given = method.masks is not None or method.mask_bundle is not None
    if (method.alignment == "mask") != given:
        raise InputError(
            "--pose-alignment mask and --masks DIR (or --mask-bundle NAME) belong together"
        )
    if method.mask_bundle is not None:
        mask_decoder(method.mask_bundle)


def check_frames(bundles: Iterable[Bundle]) -> None:
    """Raise InputError where the maps of an ensemble would have no grid in common."""
    modes = {bundle.manifest.recipe.frame.mode: bundle.manifest.name for bundle in bundles}
    if len(modes) > 1:
        told = " and ".join(f"{name} ({mode})" for mode, name in modes.items())
        raise InputError(f"bundles of different frames make no ensemble: {told}")


def check_categories(
    pairs: Sequence[Pair], inputs: Inputs, method: Method, scoring: Scoring
) -> None:
    """Raise InputError for a category whose keypoints are in no table, where tables are needed."""
    if method.alignment is None and not scoring.geometry_aware:
        return
    for category in sorted({pair.category for pair in pairs}):
        if similar_groups(inputs.dataset, category) is None:
            raise InputError(
                f"category {category!r} is in no table of keypoints; leave out --pose-alignment "
                "and --geo-aware, or name others with --categories"
            )
