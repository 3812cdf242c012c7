"""`georun eval`: PCK of bundles on a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .inputs import DATASET_NAMES, input_options, inputs_of
from .method import chosen_matching, method_options
from .options import opened_bundles

if TYPE_CHECKING:
    from ..evaluation.results import Results


@click.command(name="eval")
@click.argument("dataset", type=click.Choice(DATASET_NAMES))
@click.option("--split", help="train, val or test (test; of animal-pose, coco and folder val).")
@input_options
@method_options
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    metavar="NAME",
    help="box, box-strict, image, image-strict, keypoint-box, or all (the dataset's usual one).",
)
@click.option(
    "--alpha", "alphas", multiple=True, type=float, help="Threshold (the protocol's own)."
)
@click.option(
    "--pose-alignment",
    "alignment",
    type=click.Choice(["mutual", "mask"]),
    help="Try the mirrored source too; choose by mutual neighbours or by masks.",
)
@click.option("--masks", metavar="DIR", help="Masks for --pose-alignment mask, laid out as images.")
@click.option(
    "--mask-bundle", metavar="NAME|DIR", help="Bundle that makes the masks from the objects' boxes."
)
@click.option("--mutual", is_flag=True, help="Score mutual nearest neighbours by themselves too.")
@click.option("--geo-aware", is_flag=True, help="Score the geometry-aware subset too.")
@click.option("--per-keypoint", is_flag=True, help="Every keypoint too, in --out and --json.")
@click.option("--out", metavar="DIR", help="Write results.json, tables and a report to a folder.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run in --out.")
@click.option("--json", "to_stdout", is_flag=True, help="Print results.json.")
def evaluate(
    dataset: str,
    split: str | None,
    protocols: tuple[str, ...],
    alphas: tuple[float, ...],
    alignment: Any,
    masks: str | None,
    mask_bundle: str | None,
    mutual: bool,
    geo_aware: bool,
    per_keypoint: bool,
    out: str | None,
    resume: bool,
    to_stdout: bool,
    **options: Any,
) -> None:
    """Find the annotated keypoints of a dataset's pairs, and report how many are found.

    Every image goes through the network once; its features are kept, so the next run with the
    same bundle only matches.
    """
    from ..evaluation import report
    from ..evaluation.checkpoint import NAME
    from ..evaluation.protocols import chosen
    from ..evaluation.request import Method, Scoring
    from ..evaluation.run import evaluate as run
    from ..matcher import Matcher
    from .command_line import typed
    from .outputs import alphas_of, folder_of
    from .watch import Bars

    if resume and not out:
        raise click.UsageError("--resume needs the --out of the run that was interrupted")
    scoring = Scoring(chosen(dataset, protocols), alphas_of(alphas), geo_aware, per_keypoint)
    folder = folder_of(out)
    inputs, weights = inputs_of(dataset, split, options)
    matching = chosen_matching(inputs.bundles[0].manifest.recipe.matching, options)
    method = Method(
        Matcher(matching, weights),
        mutual,
        alignment,
        Path(masks) if masks else None,
        opened_bundles([mask_bundle])[0] if mask_bundle else None,
    )
    try:
        results, outcomes = run(inputs, method, scoring, Bars(), folder, resume, typed())
    except KeyboardInterrupt:
        if folder:
            click.echo("what is done is kept; go on with --resume", err=True)
        raise
    _say_where_features_came_from(results)
    if folder:
        with Bars().stage("report", 1, "reports"):
            report.write(results, outcomes, folder)
        (folder / NAME).unlink(missing_ok=True)
    if to_stdout:
        click.echo(results.model_dump_json())
        return
    from .evaluation_tables import print_results

    print_results(results)


def _say_where_features_came_from(results: Results) -> None:
    features = results.features
    click.echo(
        f"features: {features.extracted} extracted, {features.from_store} from the store",
        err=True,
    )
