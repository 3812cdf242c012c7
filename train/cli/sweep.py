"""`geotrain sweep`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from .finetune import finetune_options, settings_of


class Several(click.ParamType):
    """Values with commas between them, each once."""

    name = "values"

    def __init__(self, each: click.ParamType) -> None:
        self._each = each

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """The values of a text."""
        if isinstance(value, tuple):
            return value
        values = dict.fromkeys(self._each.convert(word, param, ctx) for word in value.split(","))
        if any(map(math.isnan, values)):
            self.fail(f"{value!r}: nan is no value", param, ctx)
        return tuple(values)


_COUNTS = Several(click.IntRange(0))
_POSITIVE = Several(click.FloatRange(0, 1000, min_open=True))


@click.command()
@finetune_options
@click.option("--blocks", type=_COUNTS, default=(), metavar="N,N…", help="How many blocks learn.")
@click.option(
    "--learning-rate", "rates", type=_POSITIVE, default=(), metavar="R,R…", help="Rates of AdamW."
)
@click.option(
    "--temperature", "temperatures", type=_POSITIVE, default=(), metavar="T,T…", help="Of the loss."
)
@click.option(
    "--out",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the runs' folders and of their comparison.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def sweep(
    device: str,
    wandb: str | None,
    blocks: tuple[int, ...],
    rates: tuple[float, ...],
    temperatures: tuple[float, ...],
    out: Path,
    as_json: bool,
    **asked: Any,
) -> None:
    """Fine-tune with every combination of settings, and compare.

    Every run gets a folder of its own below --out; one whose loss is not finite any more is
    entered as diverged. The same command goes on where it was interrupted; runs that are finished
    are kept. See `geotrain finetune`.
    """
    from .require import require_extra

    require_extra()
    from ...runtime.cli.command_line import typed
    from ...runtime.cli.watch import Bars
    from ..finetuning import sweep as runs
    from ..finetuning.material import FinetuneMaterial
    from ..loop import accelerator

    settings = settings_of(device=device, **asked)
    material = FinetuneMaterial.of(settings, Bars())
    chosen = runs.combinations(settings, blocks, rates, temperatures)
    results = list(
        runs.sweep(
            chosen,
            material,
            out,
            lambda: accelerator(settings.fitting, device),
            wandb=wandb,
            command=typed(),
        )
    )
    if results:
        _print(out, results, as_json)


def _print(folder: Path, results: list[Any], as_json: bool) -> None:
    from ...runtime.cli.console import print_line, print_numbers
    from .. import run_record
    from ..finetuning.comparison import COLUMNS, verdict

    if as_json:
        click.echo((folder / "sweep.json").read_text("utf-8"), nl=False)
        return
    measured = run_record.measured(run_record.read(folder / results[0].run))
    print_numbers(f"{measured} in percent", COLUMNS, [each.row for each in results])
    print_line(f"{verdict(results)}; see {folder / 'sweep.md'}")
