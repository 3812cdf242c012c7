"""`georun pose-awareness`: whether descriptors tell which way an object faces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .inputs import store_option, workers_option
from .options import chosen_device, device_option, opened_bundles

if TYPE_CHECKING:
    from ..engines import Device
    from ..evaluation.pose_awareness import PoseAwareness, Share
    from ..evaluation.views import Templates, View

ACCURACIES = {
    "all": "all directions",
    "left/right": "left or right",
    "front/back": "front or back",
    "either": "both together",
}


@click.command("pose-awareness")
@click.argument("images", required=False, metavar="[IMAGES]")
@click.option("--templates", required=True, metavar="DIR", help="Folder of template views.")
@click.option(
    "--bundle",
    "bundles",
    multiple=True,
    metavar="NAME|DIR",
    help="Bundle to judge (the lite that ships); several are compared.",
)
@click.option(
    "--masks", metavar="DIR", help="The queries' masks, laid out as they are (mutual neighbours)."
)
@store_option
@device_option
@workers_option
@click.option("--json", "to_stdout", is_flag=True, help="Print JSON.")
def pose_awareness(
    images: str | None,
    templates: str,
    bundles: tuple[str, ...],
    masks: str | None,
    store: str | None,
    device: Device,
    workers: int | None,
    to_stdout: bool,
) -> None:
    """Ask which template view has the nearest descriptors: the one from the same direction?

    Queries are the images of the folder IMAGES, or else each template set against the others.
    Directions are front, back, left and right: a file's last word (cat_black_left.png), or the
    name of its folder (left/cat_black.png).
    """
    from ..evaluation.pose_awareness import analyse
    from ..evaluation.views import read_views, template_sets
    from ..parallel import default_workers
    from ..store import store_root
    from .watch import Bars

    opened = opened_bundles(bundles)
    views, others = read_views(Path(templates))
    sets = template_sets(views)
    if images:
        views, more = read_views(Path(images))
        others += more
    queries, left_out = _asked(views, sets)
    _say_skipped(sorted({*others, *left_out}))
    folder, root = Path(masks) if masks else None, store_root(store)
    chosen = chosen_device(device, opened)
    count = workers or default_workers()
    results = [analyse(each, queries, sets, root, folder, chosen, count, Bars()) for each in opened]
    if to_stdout:
        click.echo(json.dumps(_content(results, sets, others + left_out, masks is not None)))
    else:
        _print(results, sets)


def _asked(views: list[View], sets: Templates) -> tuple[list[View], list[Path]]:
    """The views that a template shows the direction of, and the others' paths."""
    from ..errors import InputError

    queries = [view for view in views if view.direction in sets.directions]
    if not queries:
        raise InputError(f"no image shows one of the templates' {', '.join(sets.directions)}")
    return queries, [view.path for view in views if view.direction not in sets.directions]


def _say_skipped(paths: list[Path]) -> None:
    if paths:
        names = ", ".join(path.name for path in paths[:3]) + (", …" if len(paths) > 3 else "")
        click.echo(f"{len(paths)} images skipped, of no direction that templates show: {names}",
                   err=True)  # fmt: skip


def _content(
    results: list[PoseAwareness], sets: Templates, skipped: list[Path], masked: bool
) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "distance": "mask" if masked else "mutual",
        "directions": sets.directions,
        "sets": list(sets.sets),
        "skipped": sorted(str(path) for path in skipped),
        "bundles": [
            {
                "bundle": result.bundle,
                "hash": result.hash,
                "accuracy": {name: vars(share) for name, share in result.accuracy().items()},
                "confusion": result.confusion(),
                "queries": [
                    {
                        "image": each.query.name,
                        "direction": each.query.direction,
                        "nearest": each.direction,
                        "distances": {
                            name: dict(zip(each.directions, row, strict=True))
                            for name, row in zip(each.sets, each.distances.tolist(), strict=True)
                        },
                    }
                    for each in result.guesses
                ],
            }
            for result in results
        ],
    }


def _print(results: list[PoseAwareness], sets: Templates) -> None:
    from .console import print_numbers

    shares = [result.accuracy() for result in results]
    rows = [
        (result.bundle, *(_percent(share[name]) for name in ACCURACIES))
        for result, share in zip(results, shares, strict=True)
    ]
    title = f"queries told rightly, in percent, by {len(sets.sets)} template sets"
    print_numbers(title, ("bundle", *ACCURACIES.values()), rows, words=1)
    for result in results:
        confusion = [
            (true, *(str(count) for count in counts.values()))
            for true, counts in result.confusion().items()
        ]
        title = f"{result.bundle}: queries by direction, and by the nearest direction"
        print_numbers(title, ("", *sets.directions), confusion, words=1)
        queries = [
            (
                *(each.query.name, each.query.direction, each.direction),
                *(f"{distance:.4f}" for distance in each.distances.mean(axis=0)),
            )
            for each in result.guesses
        ]
        title = f"{result.bundle}: mean distance to the templates of a direction"
        print_numbers(title, ("query", "shows", "nearest", *sets.directions), queries, words=3)


def _percent(share: Share) -> str:
    return f"{100 * share.correct / share.of:.1f} ({share.correct}/{share.of})" if share.of else ""
