"""`georun report`: a finished evaluation again, or several against each other."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("folders", metavar="RUN...", nargs=-1, required=True)
@click.option("--protocol", metavar="NAME", help="Compare by this protocol (the first in common).")
@click.option(
    "--alpha", "alphas", type=float, multiple=True, help="Compare at this alpha (all in common)."
)
@click.option("--json", "to_stdout", is_flag=True, help="Print JSON.")
@click.option(
    "--out", metavar="DIR", help="Write the comparison there: comparison.md, comparison.html."
)
def compare(
    folders: tuple[str, ...],
    protocol: str | None,
    alphas: tuple[float, ...],
    to_stdout: bool,
    out: str | None,
) -> None:
    """Show the numbers of one RUN, or compare several with the first.

    A RUN is the folder that `georun eval` wrote to. Runs are compared on the pairs they share,
    each pair with itself.
    """
    if len(folders) == 1:
        if protocol or alphas or out:
            raise click.UsageError(
                "--protocol, --alpha and --out are for comparisons; name two or more runs"
            )
        _show(Path(folders[0]), to_stdout)
        return
    from .outputs import folder_of

    _compare([Path(each) for each in folders], protocol, alphas, to_stdout, folder_of(out))


def _show(folder: Path, to_stdout: bool) -> None:
    from ..evaluation.reading import read_results
    from .evaluation_tables import print_results

    results = read_results(folder)
    if to_stdout:
        click.echo(results.model_dump_json())
    else:
        print_results(results)


def _compare(
    folders: list[Path],
    protocol: str | None,
    alphas: tuple[float, ...],
    to_stdout: bool,
    out: Path | None,
) -> None:
    import json
    from dataclasses import asdict

    from ..evaluation.comparison import compare
    from .console import progress
    from .evaluation_tables import print_comparison

    with progress().status("comparing"):
        comparison = compare(folders, protocol, alphas or None)
        if out:
            from ..evaluation.report import comparison_document

            comparison_document.write(comparison, out)
    if to_stdout:
        click.echo(json.dumps({"schema_version": 1} | asdict(comparison)))
    else:
        print_comparison(comparison)
