"""`geotrain head`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...export.cli.sources import by_part, random_weights_option, weights_option
from ...runtime.cli.inputs import store_option
from .options import device_option, wandb_option

if TYPE_CHECKING:
    from ..settings import HeadSettings


@click.command()
@click.option("--preset", metavar="NAME", help="Settings that ship: geotrain presets.")
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="Settings, YAML.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a setting: fitting.steps=200.",
)
@click.option(
    "--out", metavar="RUN", type=click.Path(path_type=Path), help="Folder of the run (runs/NAME)."
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out; by its own settings.")
@click.option("--root", metavar="DIR", help="The dataset's folder; short for --set data.root=DIR.")
@store_option
@weights_option("As for geoexport build.")
@random_weights_option("Random weights for every backbone not named by --weights: for tests.")
@device_option
@wandb_option
def head(
    preset: str | None,
    config: Path | None,
    changes: tuple[str, ...],
    out: Path | None,
    resume: bool,
    root: str | None,
    store: str | None,
    sources: tuple[str, ...],
    seed: int | None,
    device: str,
    wandb: str | None,
) -> None:
    """Train a projection head on stored features of annotated pairs.

    Features that the store lacks are extracted first. The run's folder goes to
    `geoexport build RECIPE --head RUN`. With torchrun, on several GPUs or machines.
    """
    if preset and config:
        raise click.UsageError("--preset and --config exclude each other: give one of them")
    if not (preset or config or (resume and out)):
        raise click.UsageError(
            "give --preset NAME (geotrain presets lists them), --config FILE, or --resume --out RUN"
        )
    from ..trackers import check_wandb
    from .require import require_extra

    require_extra()
    if wandb:
        check_wandb()
    from ...runtime.cli.command_line import typed
    from ...runtime.cli.watch import Bars
    from ...runtime.store import store_root
    from .. import run_record
    from ..head_training import Sources, train_head
    from ..loop import accelerator
    from .summary import print_run

    settings = _settings(preset, config, out, changes, root)
    devices = accelerator(settings.fitting, device)
    folder = out or Path("runs") / settings.name
    with devices.main_process_first():
        if devices.is_main_process:
            run_record.check(folder, resume)
    train_head(
        settings,
        folder,
        Sources(store_root(store), by_part(sources), seed),
        devices,
        Bars(),
        resume=resume,
        wandb=wandb,
        command=typed(),
    )
    if devices.is_main_process:
        print_run(folder)


def _settings(
    preset: str | None, config: Path | None, run: Path, changes: tuple[str, ...], root: str | None
) -> HeadSettings:
    """The settings of a preset, of a file, or of the run in a folder; with what is changed."""
    from .. import configuration
    from ..settings import HeadSettings

    if preset:
        content, where = configuration.preset(preset), preset
    elif config:
        content, where = configuration.read(config), str(config)
    else:
        content, where = _recorded(run), str(run)
    settings = configuration.settled(HeadSettings, content, changes, where)
    if root:  # no part of `changes`, which are YAML: a folder may be named 2024
        data = settings.data.model_copy(update={"root": root})
        settings = settings.model_copy(update={"data": data})
    return settings


def _recorded(run: Path) -> dict[str, Any]:
    """The settings of a run. Raises InputError where a folder holds none of `geotrain head`."""
    from ...runtime.errors import InputError
    from .. import run_record

    record = run_record.read(run)
    if record.get("kind") != "head":
        raise InputError(f"{run}: holds no run of geotrain head; name another --out")
    settings: dict[str, Any] = record["settings"]
    return settings
