"""The results of a run, put together from what was asked and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from ..bundle import Bundle
from ..datasets import DATASETS, images
from ..machine import hardware, versions
from .material import Material
from .outcome import Outcome
from .request import Inputs, Method
from .results import (
    BundleRecord,
    DatasetRecord,
    FeaturesRecord,
    MethodRecord,
    ProtocolResult,
    Results,
)

MOST_PROBLEMS = 100  # listed in the results; all are shown while the run goes on


def record(
    inputs: Inputs,
    method: Method,
    material: Material,
    outcomes: Sequence[Outcome],
    protocols: Mapping[str, ProtocolResult],
    durations: Mapping[str, float],
    command: str,
) -> Results:
    """Everything of a run that results.json holds."""
    return Results(
        command=command,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        dataset=_dataset(inputs, material),
        bundles=_bundles(inputs, method),
        method=_method(inputs, method, outcomes),
        features=FeaturesRecord(
            device=inputs.device if material.extracted else None,
            stored_as=inputs.stored_as,
            extracted=material.extracted,
            from_store=material.from_store,
        ),
        protocols=dict(protocols),
        durations_s={name: round(seconds, 2) for name, seconds in durations.items()},
        versions=versions(("geoaware", "numpy", "onnxruntime", "openvino", "pillow")),
        hardware=hardware(),
    )


def _dataset(inputs: Inputs, material: Material) -> DatasetRecord:
    spec = DATASETS[inputs.dataset]
    return DatasetRecord(
        name=inputs.dataset,
        title=spec.title,
        split=inputs.split,
        setting=inputs.setting,
        selection=inputs.selection.as_json(),
        fingerprint=material.fingerprint,
        pairs=len(material.pairs),
        images=len(images(material.pairs)),
        keypoints=sum(int(pair.mutual.sum()) for pair in material.pairs),
        skipped=material.skipped,
        problems=[f"{each.where}: {each.what}" for each in material.problems[:MOST_PROBLEMS]],
    )


def _bundles(inputs: Inputs, method: Method) -> tuple[BundleRecord, ...]:
    return tuple(map(_bundle, inputs.bundles, method.matcher.shares))


def _bundle(bundle: Bundle, weight: float) -> BundleRecord:
    return BundleRecord(
        name=bundle.manifest.name,
        hash=bundle.manifest.hash(),
        precision=bundle.manifest.precision,
        weight=weight,
        weights=bundle.manifest.weights,
    )


def _method(inputs: Inputs, method: Method, outcomes: Sequence[Outcome]) -> MethodRecord:
    grids = [bundle.manifest.recipe.grid for bundle in inputs.bundles]
    return MethodRecord(
        matching=method.matcher.matching,
        ensemble_grid=min(grids) if len(grids) > 1 else None,
        pose_alignment=method.alignment,
        mirrored_pairs=sum(outcome.mirrored for outcome in outcomes),
        mask_bundle=_bundle(method.mask_bundle, 1.0) if method.mask_bundle else None,
    )
