"""`georun bench`: latency and throughput beside what people would use instead.

The one module of the runtime that imports from above: `geoaware.bench` measures the exporter's and
other people's programs too, and it is imported only while this command runs.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .options import device_option

if TYPE_CHECKING:
    from ...bench.settings import Settings
    from ..engines import Device

RECIPES = ("lite", "dinov2-s")


@click.command()
@click.argument("words", metavar="[SUITE|FILE]...", nargs=-1)
@click.option(
    "--recipe", "recipes", multiple=True, metavar="NAME", help="Recipe (lite and dinov2-s)."
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="Of the models (fp32 and int8).",
)
@click.option(
    "--frame",
    "frames",
    multiple=True,
    type=click.IntRange(min=1),
    help="Side in pixels (the recipe's).",
)
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(min=1), help="Images (1 and 2)."
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads of every contender (all cores)."
)
@device_option
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Measurements of each contender, or …",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=3,
    show_default=True,
    help="… as many as take so long.",
)
@click.option(
    "--out",
    metavar="DIR",
    default="benchmarks/results",
    show_default=True,
    help="Folder of the result files.",
)
@click.option("--json", "to_stdout", is_flag=True, help="Print JSON.")
@click.option(
    "--report",
    is_flag=True,
    help="Make tables and plots of result files, of all in --out where none is named, in --out.",
)
@click.option(
    "--compare",
    "two_files",
    nargs=2,
    metavar="OLD NEW",
    help="Compare the last runs of two files; exit 1 where ours got clearly worse, or lost.",
)
def bench(
    words: tuple[str, ...],
    out: str,
    to_stdout: bool,
    report: bool,
    two_files: tuple[str, str] | None,
    **options: Any,
) -> None:
    """Measure geoaware beside its rivals, and add the run to this machine's result file.

    SUITE is features, matching, match, evaluation or work (all): what is timed. What the machine
    can do is measured before them. Contenders take turns and have equally many threads. Recipes,
    precisions, frames and batches are those of features; match and evaluation are of lite.

    With --report the words are result files instead. Runs of one day lie in one file: to compare
    its last two, give it to --compare twice.
    """
    if two_files:
        _refuse_others("--compare", {"two_files", "to_stdout"})
        _compare(Path(two_files[0]), Path(two_files[1]), to_stdout)
    elif report:
        _refuse_others("--report", {"report", "words", "out"})
        _report([Path(word) for word in words], Path(out))
    else:
        _measure(words, _settings(**options), Path(out), to_stdout)


def _refuse_others(flag: str, taken: set[str]) -> None:
    """Refuse the options that say what to measure, where nothing is measured."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = str(parameter.name)
        if name not in taken and _is_given(context, name):
            given = parameter.opts[0] if isinstance(parameter, click.Option) else "SUITE"
            raise click.UsageError(f"{flag} measures nothing; leave out {given}")


def _is_given(context: click.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE and bool(context.params[name])


def _settings(
    recipes: tuple[str, ...],
    precisions: tuple[str, ...],
    frames: tuple[int, ...],
    batches: tuple[int, ...],
    threads: int | None,
    device: Device,
    repeats: int,
    seconds: float,
) -> Settings:
    from ...bench.settings import Settings, check_recipe
    from ...bench.timing import Pace
    from ..engines.choice import KINDS, choose

    recipes = tuple(dict.fromkeys(recipes or RECIPES))
    for recipe in recipes:
        check_recipe(recipe)
    if device not in KINDS:  # which are a bundle's own
        choose(device)
    several = {"precisions": precisions, "frames": frames, "batches": batches}
    asked: dict[str, Any] = {
        name: tuple(dict.fromkeys(values)) for name, values in several.items() if values
    }
    return Settings(
        threads=threads or os.cpu_count() or 1,
        recipes=recipes,
        device=device,
        pace=Pace(repeats, seconds, least=min(Pace.least, repeats)),
        **asked,
    )


def _measure(words: Sequence[str], settings: Settings, folder: Path, to_stdout: bool) -> None:
    from ...bench.run import measure, suites
    from ..errors import GeoAwareError
    from .bench_tables import print_run
    from .command_line import typed
    from .watch import Bars

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # keeps what is measured, as Ctrl-C
    watch = Bars()
    asked = suites(words)
    watch.note(f"{', '.join(asked)}; threads of every contender: {settings.threads}")
    measured = measure(asked, settings, watch, folder, typed())
    if to_stdout:
        click.echo(measured.run.model_dump_json(exclude_none=True))
    else:
        print_run(measured.run)
    watch.note(f"written: {measured.path}")
    if measured.failures:
        raise GeoAwareError(
            "; ".join(f"{suite}: {error}" for suite, error in measured.failures.items())
        )


def _report(files: Sequence[Path], folder: Path) -> None:
    from ...bench.report import write
    from ...bench.rows import files as files_of
    from ..errors import InputError

    chosen = files or files_of(folder)
    if not chosen:
        raise InputError(f"{folder}: holds no result file; `georun bench` writes one")
    for path in write(chosen, folder):
        click.echo(path)


def _compare(old: Path, new: Path, to_stdout: bool) -> None:
    from ...bench.compare import compare
    from .bench_tables import print_comparison

    comparison = compare(old, new)
    if to_stdout:
        click.echo(comparison.model_dump_json(exclude_none=True))
    else:
        print_comparison(comparison)
    if comparison.worse or comparison.lost:
        raise SystemExit(1)
