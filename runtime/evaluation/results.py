"""The schema of results.json: every number of a run, and what it took to get it.

Shares are in percent. Alphas are keys such as "0.10".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from ..manifest import WeightsRecord
from ..recipe import Matching

ByAlpha = dict[str, float]


def spelt_out(text: str) -> str:
    """Text that UTF-8 can hold: bytes of file names that are no text are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


Text = Annotated[str, BeforeValidator(spelt_out)]


class Record(BaseModel):
    """A part of the results; newer files may hold more than this version knows."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Spread(Record):
    """How PCK per image is spread over the pairs.

    std is over pairs, not of the mean. low and high are the ends of the 95 % bootstrap interval
    of the mean.
    """

    mean: float
    std: float
    median: float
    q25: float
    q75: float
    low: float
    high: float


class Scores(Record):
    """PCK of some of the pairs, averaged in both ways.

    per_image: mean over a pair's keypoints, then over pairs. per_keypoint: over all keypoints.
    """

    pairs: int
    keypoints: int
    per_image: ByAlpha
    per_keypoint: ByAlpha


class Subset(Record):
    """PCK on some of the keypoints, and the share of pairs and keypoints it covers."""

    pairs_share: float
    keypoints_share: float
    scores: Scores


class ProtocolResult(Record):
    """Every number of one protocol.

    category_mean: mean over categories of their PCK per image.
    by: for each of the dataset's difficulty fields, scores by the field's value.
    keypoints: per category, scores by keypoint id.
    """

    name: str
    formula: str
    used_by: str
    alphas: tuple[float, ...]
    overall: Scores
    spread: dict[str, Spread]
    category_mean: ByAlpha
    categories: dict[Text, Scores]
    geometry_aware: Subset | None = None
    mutual: Subset | None = None
    by: dict[str, dict[str, Scores]] = {}
    keypoints: dict[Text, dict[str, Scores]] = {}


class DatasetRecord(Record):
    """What was evaluated on.

    fingerprint: changes with the pairs, their annotations, or the images' content.
    skipped: pairs of the whole split left out because of `problems`; the first 100 are listed.
    """

    name: str
    title: str
    split: str
    setting: str
    selection: dict[str, Any]
    fingerprint: str
    pairs: int
    images: int
    keypoints: int
    skipped: int
    problems: list[Text]

    @property
    def label(self) -> str:
        """The dataset with its split and, where there are several, its setting."""
        return ", ".join(filter(None, (f"{self.title} {self.split}", self.setting)))


class BundleRecord(Record):
    """A bundle that made descriptors, and its weight in an ensemble."""

    name: str
    hash: str
    precision: str
    weight: float
    weights: tuple[WeightsRecord, ...]


class MethodRecord(Record):
    """How points were found.

    matching: by what. ensemble_grid: cells along the reference grid's sides, for several bundles.
    mask_bundle: what made the masks of pose alignment, where a bundle did.
    """

    matching: Matching
    ensemble_grid: int | None
    pose_alignment: Literal["mutual", "mask"] | None
    mirrored_pairs: int
    mask_bundle: BundleRecord | None = None

    @property
    def label(self) -> str:
        """The way to match, in words."""
        settings = self.matching.model_dump(exclude_none=True, exclude={"method"})
        words = [self.matching.method, *(f"{name} {value}" for name, value in settings.items())]
        if self.pose_alignment:
            words.append(f"pose alignment {self.pose_alignment}")
        return ", ".join(words)


class FeaturesRecord(Record):
    """Where descriptors came from: how many were extracted, how many were in the store.

    device: what extracts on; None where nothing had to be extracted.
    """

    device: str | None
    stored_as: Literal["float16", "int8"]
    extracted: int
    from_store: int


class Results(Record):
    """The whole of results.json. command: what was typed; empty where nothing was."""

    schema_version: Literal[1] = 1
    command: Text
    date: str
    dataset: DatasetRecord
    bundles: tuple[BundleRecord, ...]
    method: MethodRecord
    features: FeaturesRecord
    protocols: dict[str, ProtocolResult]
    durations_s: dict[str, float]
    versions: dict[str, str]
    hardware: dict[str, Any]

    @property
    def bundle_names(self) -> str:
        """The names of the bundles, joined by `+`."""
        return " + ".join(bundle.name for bundle in self.bundles)


def key(alpha: float) -> str:
    """An alpha as the results name it: at least two decimals."""
    text = f"{alpha:.10f}".rstrip("0")
    return text + "0" * max(0, 2 - len(text.partition(".")[2]))
