"""Made-up outcomes of pairs of photographs, and the results computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from geoaware.examples import PHOTOGRAPHS
from geoaware.runtime.datasets import AnnotatedImage, Pair
from geoaware.runtime.evaluation.outcome import Outcome
from geoaware.runtime.evaluation.protocols import PROTOCOLS
from geoaware.runtime.evaluation.report import RESULTS
from geoaware.runtime.evaluation.report.csv_files import PER_PAIR, per_pair
from geoaware.runtime.evaluation.results import (
    BundleRecord,
    DatasetRecord,
    FeaturesRecord,
    MethodRecord,
    Results,
)
from geoaware.runtime.evaluation.scores import score
from geoaware.runtime.manifest import WeightsRecord
from geoaware.runtime.recipe import Matching

CATEGORIES = ("aeroplane", "cat", "dog")


def outcome(
    name: str,
    distances: Sequence[float],
    category: str = "cat",
    *,
    paths: tuple[Path, Path] = (PHOTOGRAPHS[0], PHOTOGRAPHS[1]),
    **difficulty: int,
) -> Outcome:
    """A pair whose predictions lie at these distances from the truth, alternately right and left.

    The target's box has a longer side of 100 pixels. Of the K + 1 keypoints the last is visible
    in the source only.
    """
    source, target = (Image.open(path).size for path in paths)
    count = len(distances)
    numbers = np.arange(count + 1)
    places = np.stack([numbers % 12 / 14 + 0.1, numbers // 12 / 8 + 0.3], axis=1)
    # Whole pixels, so that the distances come out exactly as they were given.
    truth, there = (np.rint(places * size) for size in (target, source))
    visible = numbers < count
    box = (10.0, 20.0, 110.0, 90.0)
    pair = Pair(
        name,
        category,
        AnnotatedImage(paths[0], source, there, np.ones(count + 1, np.bool_)),
        AnnotatedImage(paths[1], target, np.where(visible[:, None], truth, np.nan), visible, box),
        tuple(range(3, count + 4)),
        difficulty,
    )
    offsets = np.zeros((count, 2))
    offsets[:, 0] = np.asarray(distances) * np.where(numbers[:count] % 2, -1, 1)
    similarity = np.linspace(0.9, 0.4, count).astype(np.float32)
    return Outcome(pair, truth[:count] + offsets, similarity, np.asarray(distances) < 20)


def many(count: int, spread: float, seed: int = 0) -> list[Outcome]:
    """Pairs of three categories whose distances are `spread` pixels and more or less."""
    generator = np.random.default_rng(seed)
    return [
        outcome(
            f"{number:06d}",
            spread * generator.lognormal(0, 1, generator.integers(3, 12)),
            CATEGORIES[number % 3],
            viewpoint=number % 2,
            **({"scale": 1} if number % 3 else {}),
        )
        for number in range(count)
    ]


def results(
    outcomes: Sequence[Outcome],
    protocols: Sequence[str] = ("box", "image-strict"),
    problems: Sequence[str] = (),
    bundle: str = "lite",
    per_keypoint: bool = True,
) -> Results:
    """What a run on these outcomes would leave in results.json."""
    weights = WeightsRecord(
        part="efficientnet-lite0",
        source="a package",
        revision=None,
        sha256="0" * 64,
        licence="Apache-2.0",
    )
    rules = [PROTOCOLS[name] for name in protocols]
    return Results(
        command="georun eval spair",
        date="2025-01-02T03:04:05+00:00",
        dataset=DatasetRecord(
            name="spair",
            title="SPair-71k",
            split="test",
            setting="large",
            selection={"limit": len(outcomes)},
            fingerprint="0123456789abcdef",
            pairs=len(outcomes),
            images=2,
            keypoints=sum(len(each.distances) for each in outcomes),
            skipped=len(problems),
            problems=list(problems),
        ),
        bundles=(
            BundleRecord(
                name=bundle, hash="f" * 16, precision="fp32", weight=1.0, weights=(weights,)
            ),
        ),
        method=MethodRecord(
            matching=Matching(), ensemble_grid=None, pose_alignment=None, mirrored_pairs=0
        ),
        features=FeaturesRecord(device="cpu", stored_as="float16", extracted=2, from_store=0),
        protocols={
            each.name: score(
                each, each.alphas, "spair", outcomes, in_subset=True, per_keypoint=per_keypoint
            )
            for each in rules
        },
        durations_s={"extraction": 1.5, "matching": 0.25},
        versions={"python": "3.11", "geoaware": "0.1.0"},
        hardware={"cpu": "a processor", "cores": 2},
    )


def run(folder: Path, outcomes: Sequence[Outcome], **changes: Any) -> Path:
    """A folder with the files of a run that comparisons read."""
    found = results(outcomes, **changes)
    folder.mkdir(parents=True)
    (folder / RESULTS).write_text(found.model_dump_json(indent=2), "utf-8")
    (folder / PER_PAIR).write_text(per_pair(found, outcomes), "utf-8")
    return folder
