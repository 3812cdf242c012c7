"""`geoexport build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .engine_options import engine_options, engine_request
from .progress import reporting, require_extra
from .sources import by_part, random_weights_option, weights_option

if TYPE_CHECKING:
    from ...runtime.manifest import Precision


@click.command()
@click.argument("recipe", default="lite")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="What the models compute in (fp32).",
)
@click.option("--fp16", is_flag=True, help="Short for --precision fp16.")
@click.option("--compact", is_flag=True, help="Compute in fp32, store the weights as fp16.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the bundle.")
@weights_option(
    "File, folder, Hugging Face id, package:NAME/FILE or known name to take weights from."
)
@random_weights_option(
    "Random weights for every part not named by --weights: for timing and tests."
)
@click.option(
    "--head",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Build with the head of a run of `geotrain head`: its folder, or a checkpoint in it.",
)
@click.option(
    "--keep",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    help="With --head: share of the similarity that stays the recipe's own (0).",
)
@click.option("--opset", type=click.IntRange(18, 24), help="ONNX opset (20; transformers 23).")
@click.option("--frame", type=click.IntRange(32, 4096), metavar="SIDE", help="Frame side, pixels.")
@engine_options
@click.option("--force", is_flag=True, help="Replace a bundle that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def build(
    recipe: str,
    precision: Precision | None,
    fp16: bool,
    compact: bool,
    out: Path | None,
    sources: tuple[str, ...],
    seed: int | None,
    head: Path | None,
    keep: float | None,
    opset: int | None,
    frame: int | None,
    force: bool,
    as_json: bool,
    **engine: Any,
) -> None:
    """Build RECIPE (a name or a YAML file; lite by default), verify it, and publish it.

    The bundle goes to $GEOAWARE_HOME/bundles, or to the user's cache directory. A bundle whose
    models do not compute what PyTorch computes is not published. Engines are added to a bundle that
    is there, or was just built; one out of tolerance is not, and the bundle stays as it is. After a
    failure the same command goes on from the models.
    """
    require_extra()
    from .. import head_run, recipe_files
    from ..build import build as run
    from ..request import Request
    from .manifest_table import print_manifest

    if fp16 and precision not in (None, "fp16"):
        raise click.UsageError(f"--fp16 and --precision {precision} exclude each other")
    chosen: Precision = "fp16" if fp16 else precision or "fp32"
    if compact and chosen != "fp32":
        raise click.UsageError("--compact is for fp32 models; fp16 and int8 are small already")
    if keep is not None and not head:
        raise click.UsageError("--keep is for --head: the share that a head leaves to the recipe")
    trained = head_run.read(head) if head else None
    content = recipe_files.load(recipe)
    if trained:
        content = trained.recipe_for(content, keep or 0.0)
    if frame:
        content = recipe_files.at_side(content, frame)
    request = Request(
        recipe=content,
        precision=chosen,
        compact=compact,
        asked_opset=opset,
        weights=by_part(sources),
        seed=seed,
        frame=frame,
        out=out,
        force=force,
        engine=engine_request(**engine),
        head=trained,
    )
    with reporting() as report:
        bundle, new = run(request, report)
    if as_json:
        click.echo(bundle.manifest.model_dump_json())
        return
    print_manifest(bundle.manifest)
    click.echo(f"{'built' if new else 'already built (--force builds it again)'}: {bundle.path}")
