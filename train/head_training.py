"""A run of `geotrain head`: from settings to a folder that `geoexport build --head` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from ..export.graphs import Fusion
from ..export.state_dict import read_state
from ..runtime.datasets import Pair
from ..runtime.errors import InputError
from ..runtime.evaluation.watch import Watch
from ..runtime.recipe import Recipe
from . import run_record, sampling
from .extraction import Taps, extract
from .head import ProjectionHead
from .head_task import HeadTask, described
from .loop import BEST, fit
from .material import Material, gather
from .memory import memory_errors
from .mirroring import ViewPair, variants
from .objective import HeadObjective
from .progress import Progress
from .recipes import headless, recipe_of
from .settings import HeadSettings
from .validation import Validator

STEPS_KEPT = 4  # a step's pairs are asked for when it is read, trained on and counted

Facts = dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """Where features come from: their store, and the backbones' weights where not the published."""

    store: Path
    weights: Mapping[str, str]
    seed: int | None = None


@memory_errors()
def train_head(
    settings: HeadSettings,
    folder: Path,
    sources: Sources,
    devices: Accelerator,
    watch: Watch,
    *,
    resume: bool = False,
    wandb: str | None = None,
    command: str = "",
) -> None:
    """Train a head, and leave `run.json`, `best.safetensors` and what `loop.fit` says in a folder.

    Features that the store lacks are extracted first. Raises InputError for settings that do not
    fit the recipe or the data, and to go on with another run than the one in the folder,
    GeoAwareError where the run fails.
    """
    recipe = recipe_of(settings)
    material = _usable(settings, gather(settings.data, settings.validation, watch))
    _check(settings, recipe, material)
    with devices.main_process_first():
        taps = extract(
            material.images,
            recipe,
            mirrored=_mirrors(settings),
            store=sources.store,
            sources=sources.weights,
            seed=sources.seed,
            device=devices.device.type,
            watch=watch,
        )
    material = material.readable(taps.keys)
    fitting = settings.fitting.lasting(len(material.train) // settings.batch.pairs)
    settings = settings.model_copy(update={"fitting": fitting})
    task = _task(settings, recipe, material, taps, devices)
    with Progress(f"head {settings.name}", fitting.steps) as progress:
        if devices.is_main_process:
            facts = _facts(settings, task, taps, material)
            if resume:
                _check_same(folder, run_record.read(folder), facts)
            else:
                before = _zero_shot(task)
                progress.note(f"without a head: PCK {before['pck']:.1f}")
                run_record.write(folder, {**facts, "before": before, "command": command})
        fit(
            task,
            fitting,
            folder,
            settings.model_dump(mode="json", by_alias=True),
            devices,
            progress,
            validate_every=settings.validation.every,
            resume=resume,
            wandb=wandb,
        )


def _usable(settings: HeadSettings, material: Material) -> Material:
    """Only the pairs to learn from that have a variant. Raises InputError where none has."""
    train = [pair for pair in material.train if _expanded(pair, settings, material)]
    if not train:
        raise InputError("mirroring: no pair has a variant with keypoints visible on both sides")
    return replace(material, train=train)


def _check(settings: HeadSettings, recipe: Recipe, material: Material) -> None:
    """Raise what building the task would, before hours may have gone into features."""
    _draw(settings, material)
    _validator(settings, recipe, material)
    if settings.start:
        _check_widths(_other_head(settings.start), settings)


def _mirrors(settings: HeadSettings) -> bool:
    weights = settings.mirroring
    return bool(weights.source or weights.both or weights.own)


def _task(
    settings: HeadSettings,
    recipe: Recipe,
    material: Material,
    taps: Taps,
    devices: Accelerator,
) -> HeadTask:
    torch.manual_seed(settings.fitting.seed)
    shape = settings.head
    head = ProjectionHead(taps.channels, shape.hidden, shape.outputs, shape.groups, shape.dropout)
    if settings.start:
        _begin_from(head, settings.start)
    fusion = Fusion(recipe, head).to(devices.device, memory_format=torch.channels_last)
    return HeadTask(
        objective=HeadObjective(fusion, settings.losses),
        draw=_draw(settings, material),
        taps=taps,
        validator=_validator(settings, recipe, material),
        settings=settings,
    )


def _validator(settings: HeadSettings, recipe: Recipe, material: Material) -> Validator:
    return Validator(settings.data.dataset, material.val, recipe.matching, settings.validation)


def _begin_from(head: ProjectionHead, source: str) -> None:
    """Take another head's weights. Raises InputError where they do not fit."""
    other = _other_head(source)
    if other.branches != head.branches:
        raise InputError(
            f"start: {source}: is a head of {other.branches} channels, not {head.branches}"
        )
    head.load_state_dict(other.state_dict())


def _check_widths(other: ProjectionHead, settings: HeadSettings) -> None:
    """Raise InputError naming the widths of a head to begin from that are not the new one's."""
    last = other.bottleneck_layers[0][0].conv3
    widths = {
        "hidden": last.in_channels,
        "outputs": last.out_channels,
        "groups": last.norm.num_groups,
    }
    differing = [
        f"head.{name} is {width}, not {getattr(settings.head, name)}"
        for name, width in widths.items()
        if width != getattr(settings.head, name)
    ]
    if differing:
        raise InputError(f"start: {settings.start}: of that head {', '.join(differing)}")


def _other_head(source: str) -> ProjectionHead:
    """The head in a file or in a run. Raises InputError where there is none."""
    path = Path(source).expanduser()
    path = path / BEST if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"start: {path}: no such file")
    return ProjectionHead.from_state_dict(read_state(path))


def _draw(settings: HeadSettings, material: Material) -> Callable[[int], list[ViewPair]]:
    """The view pairs of a step."""
    batch, seed = settings.batch, settings.fitting.seed
    if batch.images is None:
        draw = sampling.epochs(material.train, batch.pairs, seed)
    else:
        draw = sampling.among_images(material.train, batch.images, batch.pairs, seed)

    @lru_cache(STEPS_KEPT)
    def views(step: int) -> list[ViewPair]:
        return [each for pair in draw(step) for each in _expanded(pair, settings, material)]

    return views


def _expanded(pair: Pair, settings: HeadSettings, material: Material) -> list[ViewPair]:
    return variants(pair, material.partners(pair), settings.mirroring)


def _zero_shot(task: HeadTask) -> dict[str, float]:
    """What the recipe finds without a head, on the pairs to validate on."""
    fusion = Fusion(headless(task.settings))
    with torch.inference_mode():
        return task.validator.score(lambda path: described(fusion, task.taps, path))


def _facts(
    settings: HeadSettings,
    task: HeadTask,
    taps: Taps,
    material: Material,
) -> Facts:
    weights = {
        part: {"source": found.source, "sha256": found.sha256}
        for part, found in taps.weights.items()
    }
    return {
        "kind": "head",
        "name": settings.name,
        "recipe": taps.recipe.model_dump(mode="json"),
        "weights": weights,
        "parameters": sum(each.numel() for each in task.objective.fusion.head.parameters()),
        "settings": settings.model_dump(mode="json", by_alias=True),
        "data": material.facts(taps.keys),
    }


def _check_same(folder: Path, record: Mapping[str, Any], facts: Facts) -> None:
    """Raise InputError where the folder holds another run than the one these are the facts of."""
    if record.get("kind") != facts["kind"]:
        raise InputError(f"{folder}: holds no run of geotrain head; name another --out")
    for name in ("settings", "recipe", "weights", "data"):
        run_record.check_same(folder, name, record.get(name), facts[name])
