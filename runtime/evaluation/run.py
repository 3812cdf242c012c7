"""A whole evaluation: extract every image once into the store, then score pairs from the store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..datasets import DATASETS
from ..errors import InputError
from ..machine import hardware, versions
from ..matcher import Matcher
from ..pose import Alignment
from .checkpoint import Checkpoint
from .masks import MaskFolder
from .material import Inputs, Material, Selected, gather, select
from .outcome import Outcome
from .prediction import Predictor
from .protocols import Protocol
from .results import (
    BundleRecord,
    DatasetRecord,
    FeaturesRecord,
    MethodRecord,
    Results,
)
from .scores import score
from .selection import images
from .watch import Watch

MOST_PROBLEMS = 100  # listed in the results; all are shown while the run goes on


@dataclass(frozen=True)
class Method:
    """How keypoints are found.

    mutual: whether matches are checked to be mutual nearest neighbours.
    alignment: whether and by what the source or its mirror image is chosen.
    masks: the folder of the images' masks, for alignment by mask.
    """

    matcher: Matcher
    mutual: bool = False
    alignment: Alignment | None = None
    masks: Path | None = None


@dataclass(frozen=True)
class Scoring:
    """What is computed from the outcomes.

    alphas: instead of each protocol's own. geometry_aware, per_keypoint: those parts too.
    """

    protocols: Sequence[Protocol]
    alphas: tuple[float, ...] = ()
    geometry_aware: bool = False
    per_keypoint: bool = False


def evaluate(
    inputs: Inputs,
    method: Method,
    scoring: Scoring,
    watch: Watch,
    folder: Path | None = None,
    resume: bool = False,
    command: str = "",
) -> tuple[Results, list[Outcome]]:
    """Find the keypoints of every pair and score them; outcomes come in the pairs' order.

    folder: where outcomes are kept while the run goes on; `resume` takes up those of a run that
        was interrupted.
    command: what was typed, for the record.

    Raises InputError for what cannot be asked of the dataset, GeoAwareError where the run fails.
    """
    _check(inputs, method, scoring)
    started = time.perf_counter()
    selected = select(inputs, watch)
    masks = _masks(inputs, method, selected)
    material = gather(inputs, selected, watch, mirrored_sources=method.alignment is not None)
    predictor = Predictor(
        inputs.dataset,
        method.matcher,
        material.stores,
        material.keys,
        method.mutual,
        method.alignment,
        masks,
    )
    extracted = time.perf_counter()
    if folder is None:
        outcomes = _predicted(predictor, material, inputs.workers, watch)
    else:
        with Checkpoint(folder, _identity(inputs, material, method)) as checkpoint:
            outcomes = _predicted(predictor, material, inputs.workers, watch, checkpoint, resume)
    found = time.perf_counter()
    protocols = {
        protocol.name: score(
            protocol,
            scoring.alphas or protocol.alphas,
            inputs.dataset,
            outcomes,
            scoring.geometry_aware,
            scoring.per_keypoint,
        )
        for protocol in scoring.protocols
    }
    durations = {
        "features": extracted - started,
        "matching": found - extracted,
        "scoring": time.perf_counter() - found,
    }
    results = Results(
        command=command,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        dataset=_dataset(inputs, material),
        bundles=_bundles(inputs, method),
        method=_method(method, outcomes),
        features=FeaturesRecord(
            stored_as=inputs.stored_as,
            extracted=material.extracted,
            from_store=material.from_store,
        ),
        protocols=protocols,
        durations_s={name: round(seconds, 2) for name, seconds in durations.items()},
        versions=versions(("geoaware", "numpy", "onnxruntime", "pillow")),
        hardware=hardware(),
    )
    return results, outcomes


def _check(inputs: Inputs, method: Method, scoring: Scoring) -> None:
    """Raise InputError for what the dataset cannot give, before any work is done."""
    title = DATASETS[inputs.dataset].title
    if method.alignment and not DATASETS[inputs.dataset].keypoint_tables:
        raise InputError(
            f"{title} has no table of which keypoints change places in a mirror, "
            "so --pose-alignment has no meaning there"
        )
    if scoring.geometry_aware and not DATASETS[inputs.dataset].keypoint_tables:
        raise InputError(f"{title} has no table of look-alike keypoints for --geo-aware")
    if (method.alignment == "mask") != (method.masks is not None):
        raise InputError("--pose-alignment mask and --masks DIR belong together")


def _masks(inputs: Inputs, method: Method, selected: Selected) -> MaskFolder | None:
    if method.masks is None:
        return None
    masks = MaskFolder(method.masks, inputs.root)
    masks.check(images(selected.pairs))
    return masks


def _identity(inputs: Inputs, material: Material, method: Method) -> dict[str, Any]:
    """What decides the outcomes of a run."""
    return {
        "fingerprint": material.fingerprint,
        "bundles": [store.bundle for store in material.stores],
        "stored_as": inputs.stored_as,
        "method": repr(method),
    }


def _predicted(
    predictor: Predictor,
    material: Material,
    workers: int,
    watch: Watch,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
) -> list[Outcome]:
    """The outcomes of all pairs, in their order; new ones are kept in the checkpoint."""
    done = checkpoint.resume(material.pairs) if checkpoint and resume else []
    if done:
        watch.note(f"{len(done)} of {len(material.pairs)} pairs are done already")
    if checkpoint:
        checkpoint.start(done)
    known = {outcome.pair.name: outcome for outcome in done}
    left = [pair for pair in material.pairs if pair.name not in known]
    with watch.stage("pairs", len(left), "pairs") as advance:
        for outcomes in predictor.outcomes(left, workers):
            if checkpoint:
                checkpoint.add(outcomes)
            known |= {outcome.pair.name: outcome for outcome in outcomes}
            advance(len(outcomes))
    return [known[pair.name] for pair in material.pairs]


def _dataset(inputs: Inputs, material: Material) -> DatasetRecord:
    spec = DATASETS[inputs.dataset]
    return DatasetRecord(
        name=inputs.dataset,
        title=spec.title,
        split=inputs.split,
        setting=inputs.setting or next(iter(spec.settings), ""),
        selection=inputs.selection.as_json(),
        fingerprint=material.fingerprint,
        pairs=len(material.pairs),
        images=len(images(material.pairs)),
        keypoints=sum(int(pair.mutual.sum()) for pair in material.pairs),
        skipped=material.skipped,
        problems=[f"{each.where}: {each.what}" for each in material.problems[:MOST_PROBLEMS]],
    )


def _bundles(inputs: Inputs, method: Method) -> tuple[BundleRecord, ...]:
    return tuple(
        BundleRecord(
            name=bundle.manifest.name,
            hash=bundle.manifest.hash(),
            precision=bundle.manifest.precision,
            weight=weight,
            weights=bundle.manifest.weights,
        )
        for bundle, weight in zip(inputs.bundles, method.matcher.weights, strict=True)
    )


def _method(method: Method, outcomes: Sequence[Outcome]) -> MethodRecord:
    return MethodRecord(
        matching=method.matcher.matching,
        ensemble_grid=method.matcher.ensemble_grid,
        pose_alignment=method.alignment,
        mirrored_pairs=sum(outcome.mirrored for outcome in outcomes),
    )
