"""`geotrain finetune`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...export.cli.sources import by_part, random_weights_option, weights_option
from ...runtime.cli.inputs import DATASET_NAMES, root_option, setting_option
from ...runtime.cli.options import together
from .options import device_option, wandb_option

if TYPE_CHECKING:
    from ..finetuning.settings import FinetuneSettings

finetune_options = together(
    click.argument("recipe"),
    click.argument("dataset", type=click.Choice(DATASET_NAMES)),
    click.option(
        "--config", metavar="FILE", type=click.Path(path_type=Path), help="Settings, YAML."
    ),
    click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change a setting: fitting.steps=200.",
    ),
    root_option,
    setting_option,
    weights_option("As for geoexport build."),
    random_weights_option("Random weights to begin from: for tests."),
    device_option,
    wandb_option,
)


@click.command()
@finetune_options
@click.option(
    "--out",
    metavar="RUN",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the run.",
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted run.")
def finetune(device: str, wandb: str | None, out: Path, resume: bool, **asked: Any) -> None:
    """Fine-tune the last blocks of a backbone.

    They learn from the annotated pairs of DATASET. RECIPE is one of DINOv2, DINOv3 or SAM: a name
    or a YAML file. `geoexport build` takes the weights: --weights BACKBONE=RUN/best.safetensors.
    With torchrun, on several GPUs or machines.
    """
    from .require import require_extra

    require_extra()
    from ...runtime.cli.command_line import typed
    from ...runtime.cli.watch import Bars
    from .. import run_record
    from ..finetuning.material import FinetuneMaterial
    from ..finetuning.run import finetune as run
    from ..loop import accelerator

    settings = settings_of(device=device, **asked)
    devices = accelerator(settings.fitting, device)
    if devices.is_main_process:
        run_record.check(out, resume)
    material = FinetuneMaterial.of(settings, Bars())
    run(settings, material, out, devices, resume=resume, wandb=wandb, command=typed())
    if devices.is_main_process:
        _print_run(out)


def settings_of(
    recipe: str,
    dataset: str,
    config: Path | None,
    changes: tuple[str, ...],
    root: str | None,
    setting: str | None,
    sources: tuple[str, ...],
    seed: int | None,
    device: str,
) -> FinetuneSettings:
    """The settings of a file, with what the command line says otherwise, for a device.

    Raises InputError for a key that is unknown or holds what it cannot.
    """
    from ...export import recipe_files
    from ...runtime.manifest import RANDOM
    from .. import configuration
    from ..finetuning.settings import FinetuneSettings

    content = configuration.read(config) if config else {}
    weights = by_part(sources)
    if seed is not None:
        part = recipe_files.load(recipe).backbones[0].name
        weights = {part: f"{RANDOM}{seed}"} | weights
    named = {"dataset": dataset, "root": root, "setting": setting}
    data = {key: value for key, value in named.items() if value is not None}
    content |= {"recipe": recipe, "data": {**(content.get("data") or {}), **data}}
    if weights:
        content["weights"] = weights
    settings = configuration.settled(FinetuneSettings, content, changes, str(config or "settings"))
    return _with_precision(settings, device)


def _with_precision(settings: FinetuneSettings, device: str) -> FinetuneSettings:
    """The settings with the precision that was left to the backbone and the device."""
    import torch

    from ...export import recipe_files
    from ..finetuning.families import backbone_of, family_of

    if settings.fitting.precision is not None:
        return settings
    family = family_of(backbone_of(recipe_files.load(settings.recipe)))
    on_gpu = device != "cpu" and torch.cuda.is_available()
    precision = family.gpu_precision if on_gpu else "fp32"
    fitting = settings.fitting.model_copy(update={"precision": precision})
    return settings.model_copy(update={"fitting": fitting})


def _print_run(folder: Path) -> None:
    from ...runtime.cli.console import print_facts, print_line
    from .. import run_record
    from ..finetuning.comparison import result_of
    from ..loop import BEST
    from .summary import duration

    record, result = run_record.read(folder), result_of(folder)
    facts = [
        ("measured", run_record.measured(record)),
        ("PCK before", f"{result.before:.1f}"),
        ("best PCK", f"{result.best:.1f} at step {result.step:,}"),
        ("took", duration(60 * result.minutes)),
        ("blocks that learnt", str(result.blocks)),
    ]
    print_facts(str(folder), facts)
    [part] = record["weights"]
    settings = record["settings"]
    frame = f" --frame {settings['frame']}" if settings["frame"] else ""
    weights = shlex.quote(f"{part}={folder / BEST}")
    recipe, place = shlex.quote(settings["recipe"]), shlex.quote(str(folder / "bundle"))
    print_line(f"next: geoexport build {recipe}{frame} --weights {weights} --out {place}")
