"""A run of `geotrain finetune`: from settings to weights that `geoexport build` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from ...export.graphs import WholeRecipe
from ...export.modules import reference_graphs
from ...export.parts import resolve_all
from ...export.state_dict import read_state
from ...export.weights import Weights
from ...runtime.datasets import Pair
from ...runtime.errors import InputError
from .. import run_record, sampling
from ..loop import fit
from ..progress import Progress
from ..validation import Validator
from .families import backbone_of
from .material import FinetuneMaterial
from .objective import FinetuneObjective
from .settings import FinetuneSettings
from .task import FinetuneTask
from .unfreezing import unfreeze

STEPS_KEPT = 4  # a step's pairs are asked for when it is read, trained on and counted

Scores = dict[str, float]


def finetune(
    settings: FinetuneSettings,
    material: FinetuneMaterial,
    folder: Path,
    devices: Accelerator,
    *,
    resume: bool = False,
    wandb: str | None = None,
    command: str = "",
    before: Scores | None = None,
) -> Scores:
    """Fine-tune a backbone, and leave `run.json` and what `loop.fit` says in a folder.

    before: the validation of the weights as they were, where it is known. Returns it.

    Raises InputError for settings that fit neither the backbone nor the data, and to go on with
    another run than the one in the folder, GeoAwareError where the run fails.
    """
    settings = material.settled(settings)
    part = backbone_of(material.recipe).name
    weights = resolve_all(material.recipe, settings.weights)
    task = _task(settings, material, weights[part], devices)
    if resume and (folder / run_record.NAME).exists():
        record = run_record.read(folder)
        _check_same(folder, record, settings, material, weights[part])
        before = record["before"]
    with Progress(f"finetune {part}", settings.fitting.steps) as progress:
        if devices.is_main_process:
            before = before or task.validate()
            progress.note("before: " + ", ".join(f"{k} {v:.1f}" for k, v in before.items()))
            facts = _facts(settings, material, task, weights[part], before)
            run_record.write(folder, {**facts, "command": command})
        fit(
            task,
            settings.fitting,
            folder,
            settings.model_dump(mode="json"),
            devices,
            progress,
            validate_every=settings.validation.every,
            resume=resume,
            wandb=wandb,
        )
    return before or {}


def check_blocks(runs: Sequence[FinetuneSettings], material: FinetuneMaterial) -> None:
    """Raise InputError where a run is told to unfreeze other blocks than its backbone has."""
    counts = {settings.blocks: settings for settings in runs}
    for count in {min(counts), max(counts)}:
        part = backbone_of(material.recipe).name
        _unfrozen(
            counts[count], material, resolve_all(material.recipe, counts[count].weights)[part]
        )


def _check_same(
    folder: Path,
    record: Mapping[str, Any],
    settings: FinetuneSettings,
    material: FinetuneMaterial,
    weights: Weights,
) -> None:
    if record.get("kind") != "finetune":
        raise InputError(f"{folder}: holds no run of geotrain finetune; name another --out")
    run_record.check_same(folder, "settings", record["settings"], settings.model_dump(mode="json"))
    run_record.check_same(folder, "data", record["data"], material.pairs.facts(material.keys))
    [was] = record["weights"].values()
    if was["sha256"] != weights.sha256:
        raise InputError(
            f"{folder}: its run began from other weights ({was['source']}) than "
            f"{weights.source} holds now; name those, or another --out"
        )


def _unfrozen(
    settings: FinetuneSettings, material: FinetuneMaterial, weights: Weights
) -> tuple[WholeRecipe, Mapping[str, Tensor] | None]:
    """The recipe's network, of whose backbone some blocks learn, and its checkpoint."""
    recipe = material.recipe
    source = None if weights.seed is not None else read_state(weights.files["model"])
    [graph] = reference_graphs(recipe, {backbone_of(recipe).name: weights})
    [taps] = graph.module.backbones
    unfreeze(taps.backbone, settings.blocks, source)
    return graph.module, source


def _task(
    settings: FinetuneSettings, material: FinetuneMaterial, weights: Weights, devices: Accelerator
) -> FinetuneTask:
    recipe = material.recipe
    network, source = _unfrozen(settings, material, weights)
    objective = FinetuneObjective(network, settings.temperature).to(devices.device)
    validator = Validator(
        settings.data.dataset, material.pairs.val, recipe.matching, settings.validation
    )
    return FinetuneTask(objective, _draw(settings, material), recipe, validator, source)


def _draw(settings: FinetuneSettings, material: FinetuneMaterial) -> Callable[[int], list[Pair]]:
    batch, seed = settings.batch, settings.fitting.seed
    if batch.images is None:
        draw = sampling.epochs(material.pairs.train, batch.pairs, seed)
    else:
        draw = sampling.among_images(material.pairs.train, batch.images, batch.pairs, seed)
    return lru_cache(STEPS_KEPT)(draw)


def _facts(
    settings: FinetuneSettings,
    material: FinetuneMaterial,
    task: FinetuneTask,
    weights: Weights,
    before: Mapping[str, float],
) -> dict[str, Any]:
    recipe, parameters = material.recipe, list(task.objective.parameters())
    return {
        "kind": "finetune",
        "recipe": recipe.model_dump(mode="json"),
        "weights": {backbone_of(recipe).name: {"source": weights.source, "sha256": weights.sha256}},
        "parameters": {
            "learning": sum(each.numel() for each in parameters if each.requires_grad),
            "all": sum(each.numel() for each in parameters),
        },
        "settings": settings.model_dump(mode="json"),
        "before": dict(before),
        "data": material.pairs.facts(material.keys),
    }
