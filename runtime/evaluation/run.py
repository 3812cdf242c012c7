"""A whole evaluation: extract every image once into the store, then score pairs from the store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ..bundle import Bundle
from .checkpoint import Checkpoint, refuse_unfinished
from .made_masks import MadeMasks, make_masks
from .masks import MaskFolder, Masks
from .material import Material, Selected, gather, select
from .outcome import Outcome
from .prediction import Predictor
from .protocols import check_boxes
from .records import record
from .request import Inputs, Method, Scoring, check, check_categories
from .results import Results
from .scores import score
from .watch import Watch


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
    check(inputs, method, scoring)
    if folder is not None and not resume:
        refuse_unfinished(folder)
    started = time.perf_counter()
    selected = select(inputs, watch)
    check_categories(selected.pairs, inputs, method, scoring)
    check_boxes(selected.pairs, scoring.protocols)
    masks = _masks(inputs, method, selected)
    material = gather(inputs, selected, watch, mirrored_sources=method.alignment is not None)
    if method.mask_bundle is not None:
        masks = _made(inputs, method.mask_bundle, material, watch)
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
        with Checkpoint(folder, _identity(inputs, material, method, masks)) as checkpoint:
            outcomes = _predicted(predictor, material, inputs.workers, watch, checkpoint, resume)
    found = time.perf_counter()
    protocols = {
        protocol.name: score(
            protocol,
            scoring.alphas or protocol.alphas,
            inputs.dataset,
            outcomes,
            in_subset=scoring.geometry_aware,
            per_keypoint=scoring.per_keypoint,
        )
        for protocol in scoring.protocols
    }
    durations = {
        "features": extracted - started,
        "matching": found - extracted,
        "scoring": time.perf_counter() - found,
    }
    results = record(inputs, method, material, outcomes, protocols, durations, command)
    return results, outcomes


def _masks(inputs: Inputs, method: Method, selected: Selected) -> Masks | None:
    if method.masks is None:
        return None
    sides = {side.path: side for pair in selected.pairs for side in (pair.source, pair.target)}
    return MaskFolder.checked(method.masks, inputs.root, list(sides.values()))


def _made(inputs: Inputs, bundle: Bundle, material: Material, watch: Watch) -> Masks:
    sides = [side for pair in material.pairs for side in (pair.source, pair.target)]
    content = {path: key.digest for path, key in material.keys.items()}
    masks = MadeMasks(inputs.store, bundle, content)
    return make_masks(masks, sides, inputs.device, inputs.workers, watch)


def _identity(
    inputs: Inputs, material: Material, method: Method, masks: Masks | None
) -> dict[str, Any]:
    """What decides the outcomes of a run."""
    return {
        "fingerprint": material.fingerprint,
        "bundles": [store.bundle for store in material.stores],
        "stored_as": inputs.stored_as,
        "matcher": repr(method.matcher),
        "mutual": method.mutual,
        "alignment": method.alignment,
        "masks": masks and masks.digest,
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
