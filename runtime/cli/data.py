"""`georun data`: datasets of annotated pairs, made ready and checked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from .inputs import DATASET_NAMES

if TYPE_CHECKING:
    from ..datasets.place import Advance
    from ..datasets.prepare import Checked

SCHEMA_VERSION = 1


@click.group()
def data() -> None:
    """Get datasets of annotated image pairs ready."""


@data.command()
@click.argument("name", type=click.Choice(DATASET_NAMES))
@click.option("--root", metavar="DIR", help="The dataset's folder (in $GEOAWARE_DATA).")
@click.option("--archive", metavar="FILE", help="Unpack this .zip, .tar, .tar.gz, … first.")
@click.option("--url", help="Download this archive and unpack it first; http or https.")
@click.option("--sha256", metavar="HEX", help="Refuse an archive with another SHA-256.")
@click.option("--strict", is_flag=True, help="Exit 1 where there are problems.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def prepare(
    name: str,
    root: str | None,
    archive: str | None,
    url: str | None,
    sha256: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Read a dataset's annotations and say what is there and what is wrong.

    With --archive or --url, unpack it first; a download that was cut off goes on where it was. Of
    AP-10K, build the benchmark's lists of pairs. Exits 1 where no pair can be used.
    """
    if archive and url:
        raise click.UsageError("give one of --archive and --url")
    if sha256 is not None and not (archive or url):
        raise click.UsageError("--sha256 is of an archive; give --archive or --url too")
    if sha256 is not None and not re.fullmatch("[0-9A-Fa-f]{64}", sha256):
        raise click.UsageError("--sha256 must be 64 hexadecimal digits")
    from ..datasets import root_of
    from ..datasets.place import destination
    from ..datasets.prepare import check, check_usable, fetch, install, problems_of

    folder = destination(name, root) if archive or url else root_of(name, root)
    if archive:
        install(Path(archive), folder, sha256, _shown)
    if url:
        fetch(url, folder, sha256, _shown)
    found = check(name, folder, _shown)
    if as_json:
        click.echo(json.dumps(_as_json(name, folder, found)))
    else:
        _print_problems(found)
    check_usable(name, folder, found)
    if not as_json:
        _print_table(name, folder, found)
    if strict and problems_of(found):
        raise SystemExit(1)


@contextmanager
def _shown(step: str, unit: Literal["bytes", "lists"]) -> Iterator[Advance]:
    """Show a step on stderr while it runs."""
    from rich import progress as bars

    from .console import progress as console

    amount: tuple[bars.ProgressColumn, ...] = (bars.MofNCompleteColumn(),)
    if unit == "bytes":
        amount = (bars.DownloadColumn(), bars.TransferSpeedColumn(), bars.TimeRemainingColumn())
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), *amount)
    screen = console()
    hidden = not screen.is_terminal
    with bars.Progress(*columns, console=screen, transient=True, disable=hidden) as shown:
        task = shown.add_task(step, total=None)

        def advance(done: int, total: int | None) -> None:
            if not shown.tasks[0].completed:  # what was there before says nothing of the speed
                shown.reset(task, completed=done, total=total)
            shown.update(task, completed=done, total=total)

        yield advance


def _as_json(name: str, folder: Path, found: list[Checked]) -> dict[str, Any]:
    from dataclasses import asdict

    from ..datasets.prepare import problems_of

    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": name,
        "root": str(folder),
        "splits": [{**asdict(each), "problems": len(each.problems)} for each in found],
        "problems": [asdict(problem) for problem in problems_of(found)],
    }


def _print_problems(found: list[Checked]) -> None:
    """Every problem on stderr, one a line, and what else keeps from training."""
    from ..datasets.prepare import not_validated, problems_of

    for problem in problems_of(found):
        click.echo(" ".join(f"{problem.where}: {problem.what}".split()), err=True)
    if settings := not_validated(found):
        of = f" ({', '.join(settings)})" if any(settings) else ""
        click.echo(f"the split val has no pairs{of}; training needs some", err=True)


def _print_table(name: str, folder: Path, found: list[Checked]) -> None:
    from ..datasets import DATASETS
    from ..datasets.prepare import problems_of
    from .console import print_rows

    title = f"{DATASETS[name].title} in {folder}"
    if count := len(problems_of(found)):
        of_all = f"{count:,} problem{'s' * (count > 1)}"
        title += f": {of_all}, counted in every list that has one"
    print_rows(
        title,
        ("split", "setting", "pairs", "images", "problems"),
        [(each.split, each.setting, *_numbers(each)) for each in found],
    )


def _numbers(each: Checked) -> tuple[str, str, str]:
    if each.absent:
        return "absent", "", ""
    return f"{each.pairs:,}", f"{each.images:,}", f"{len(each.problems):,}"
