"""`geotrain extract`: the raw taps of a dataset's images, into the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...export.cli.sources import by_part, random_weights_option, weights_option
from ...runtime.cli.inputs import DATASET_NAMES, root_option, setting_option, store_option
from .require import require_extra

if TYPE_CHECKING:
    from ..extraction import Taps

LEARNED_FROM = ("train", "val")


@click.command()
@click.argument("recipe")
@click.argument("dataset", type=click.Choice(DATASET_NAMES), metavar="DATASET")
@root_option
@click.option("--split", metavar="NAME", help="Only this split's images (those of train and val).")
@setting_option
@store_option
@weights_option("Where to take a backbone's weights from, as for geoexport build.")
@random_weights_option(
    "Random weights for every part not named by --weights: for timing and tests."
)
@click.option("--frame", type=click.IntRange(32, 4096), metavar="SIDE", help="Frame side, pixels.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="What runs the backbones; a GPU does in fp16.",
)
@click.option("--no-mirrored", is_flag=True, help="Not of the images' mirror images too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def extract(
    recipe: str,
    dataset: str,
    root: str | None,
    split: str | None,
    setting: str | None,
    store: str | None,
    sources: tuple[str, ...],
    seed: int | None,
    frame: int | None,
    device: str,
    no_mirrored: bool,
    as_json: bool,
) -> None:
    """Store the features that heads are trained on.

    Those of DATASET's images that RECIPE (a name or a YAML file) fuses: its taps. Images that are
    there already are checked and kept, so an interrupted run goes on. `geotrain head` does the same
    before it trains.
    """
    require_extra()
    from ...export import recipe_files
    from ...runtime.cli.watch import Bars
    from ...runtime.errors import GeoAwareError
    from ...runtime.store import store_root
    from ..extraction import extract as run

    content = recipe_files.load(recipe)
    taps = run(
        _images(dataset, root, split, setting),
        recipe_files.at_side(content, frame) if frame else content,
        mirrored=not no_mirrored,
        store=store_root(store),
        sources=by_part(sources),
        seed=seed,
        device=_chosen(device),
        watch=Bars(),
    )
    _print(taps, not no_mirrored, as_json)
    if taps.failed:
        count = len(taps.failed) + len(taps.keys)
        raise GeoAwareError(f"{len(taps.failed)} of {count} images cannot be read; see above")


def _images(dataset: str, root: str | None, split: str | None, setting: str | None) -> list[Path]:
    """The images of all pairs of a split; without one, of those that training reads and are there.

    Raises InputError where there is no such split.
    """
    from ...runtime.cli.watch import Bars
    from ...runtime.datasets import DATASETS, Pair, Problem, images, read, root_of
    from ...runtime.errors import InputError

    folder, watch = root_of(dataset, root), Bars()
    pairs: list[Pair] = []
    problems: dict[Problem, None] = {}
    missing: list[InputError] = []
    for each in LEARNED_FROM if split is None else (split,):
        try:
            with watch.stage(f"{DATASETS[dataset].title}: {each}", 1, "lists"):
                listing = read(dataset, folder, each, setting)
        except InputError as error:
            missing.append(error)
            continue
        pairs += listing.pairs
        problems |= dict.fromkeys(listing.problems)
    if missing and not pairs:
        raise missing[0]
    for error in missing:
        watch.note(f"left out: {error}")
    if problems:
        watch.problems(list(problems))
    return images(pairs)


def _chosen(device: str) -> str:
    """The device asked for; what `auto` chose is said on stderr."""
    if device != "auto":
        return device
    import torch

    chosen = "cuda" if torch.cuda.is_available() else "cpu"
    click.echo(f"device: {chosen} (chosen by auto)", err=True)
    return chosen


def _print(taps: Taps, mirrored: bool, as_json: bool) -> None:
    there = len({key.digest for key in taps.keys.values()}) * (2 if mirrored else 1) - taps.made
    if not as_json:
        click.echo(f"{taps.made} maps made, {there} in the store already: {taps.store.folder}")
        return
    facts = {
        "folder": str(taps.store.folder),
        "images": len(taps.keys),
        "made": taps.made,
        "in_store": there,
        "failed": {str(path): what for path, what in sorted(taps.failed.items())},
    }
    click.echo(json.dumps(facts))
