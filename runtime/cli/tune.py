"""`georun tune`: the window and temperature that find most keypoints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .inputs import DATASET_NAMES, input_options, inputs_of

if TYPE_CHECKING:
    from ..evaluation.tuning import Tuned


@click.command()
@click.argument("dataset", type=click.Choice(DATASET_NAMES))
@click.option("--split", default="val", show_default=True, help="train, val or test.")
@input_options
@click.option(
    "--variant", type=click.Choice(["cropped", "zeroed"]), default="cropped", show_default=True
)
@click.option("--windows", metavar="N,N…", help="Windows to try (3,5,7,9,11,15 for cropped).")
@click.option(
    "--temperatures", metavar="T,T…", help="Temperatures (0.05,0.1,0.2,0.5,1 for cropped)."
)
@click.option("--protocol", metavar="NAME", help="As for georun eval (the dataset's usual one).")
@click.option("--alpha", "alphas", multiple=True, type=float, help="As for georun eval.")
@click.option("--out", metavar="DIR", help="Write tune.json and heatmap.png to a folder.")
@click.option("--json", "to_stdout", is_flag=True, help="Print tune.json.")
def tune(
    dataset: str,
    split: str,
    variant: Any,
    windows: str | None,
    temperatures: str | None,
    protocol: str | None,
    alphas: tuple[float, ...],
    out: str | None,
    to_stdout: bool,
    **options: Any,
) -> None:
    """Try windows and temperatures of the soft-argmax on a dataset's pairs.

    Similarities are computed once for all of them. What is chosen on a test split flatters the
    numbers of that split: choose on val or train where there is one.
    """
    from ..errors import InputError
    from ..evaluation import tuning
    from ..evaluation.protocols import chosen
    from .command_line import typed
    from .outputs import alphas_of, folder_of
    from .watch import Bars

    protocols = chosen(dataset, (protocol,) if protocol else ())
    if len(protocols) > 1:
        raise InputError("--protocol all: settings are chosen by one protocol; name it")
    search = tuning.Search(
        variant,
        _numbers("--windows", windows, int) or tuning.WINDOWS[variant],
        _numbers("--temperatures", temperatures, float) or tuning.TEMPERATURES[variant],
    )
    thresholds = alphas_of(alphas) or protocols[0].alphas
    folder = folder_of(out)
    inputs, weights = inputs_of(dataset, split, options)
    tuned = tuning.tune(inputs, weights, search, protocols[0], thresholds, Bars())
    facts = {
        "command": typed(),
        "dataset": inputs.dataset,
        "split": inputs.split,
        "bundles": {each.manifest.name: each.manifest.hash() for each in inputs.bundles},
    }
    content = json.dumps(facts | tuning.as_json(tuned), indent=2)
    if folder:
        from ..evaluation.report.heatmap import heatmap
        from ..files import replacing

        with replacing(folder / "heatmap.png") as file:
            heatmap(tuned, file)
        with replacing(folder / "tune.json") as file:
            file.write(content.encode() + b"\n")
    if to_stdout:
        click.echo(content)
        return
    _print(tuned)


def _print(tuned: Tuned) -> None:
    from ..evaluation.results import key
    from .console import print_numbers

    temperatures = [f"T {value:g}" for value in tuned.search.temperatures]
    for number, alpha in enumerate(tuned.alphas):
        rows = [
            (f"{window}", *(f"{value:.1f}" for value in row))
            for window, row in zip(tuned.search.windows, tuned.grid[number], strict=True)
        ]
        title = f"PCK@{key(alpha)} per image, {tuned.protocol.name}: {tuned.protocol.formula}"
        print_numbers(title, (f"{tuned.search.variant} window", *temperatures), rows)
        best = tuned.best(number).model_dump(exclude_none=True)
        words = " ".join(f"--{name} {value}" for name, value in best.items())
        click.echo(f"argmax {tuned.argmax[number]:.1f}; best: {words}")


def _numbers(option: str, text: str | None, kind: type[int] | type[float]) -> tuple[Any, ...]:
    try:
        return tuple(sorted({kind(word) for word in text.split(",")})) if text else ()
    except ValueError:
        raise click.UsageError(f"{option}: {text!r} is no list of numbers such as 3,5,7") from None
