"""The options that choose pairs of a dataset and the bundles that describe their images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .options import chosen_device, device_option, opened_bundles, together

if TYPE_CHECKING:
    from ..evaluation.request import Inputs

DATASET_NAMES = ("spair", "pf-pascal", "pf-willow", "ap10k", "animal-pose", "coco", "folder")

root_option = click.option(
    "--root", metavar="DIR", help="The dataset's folder ($GEOAWARE_DATA/<its name>)."
)
setting_option = click.option(
    "--setting",
    metavar="NAME",
    help="spair: large, small. ap10k: intra-species, cross-… animal-pose, coco, folder: within, "
    "across.",
)
store_option = click.option(
    "--store", metavar="DIR", help="Feature store (in the cache directory)."
)
int8_option = click.option(
    "--int8", is_flag=True, help="Store features in half the size, nearly as exact."
)
workers_option = click.option(
    "--workers", type=click.IntRange(1, 256), metavar="N", help="Threads (the cores, at most 4)."
)

input_options = together(
    root_option,
    setting_option,
    click.option(
        "--categories", metavar="A,B…", help="Only pairs of these categories.", default=""
    ),
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N pairs."),
    click.option("--sample", type=click.IntRange(1), metavar="N", help="Only N pairs at random."),
    click.option("--seed", type=int, default=0, show_default=True, help="Decides the sample."),
    click.option(
        "--bundle",
        "bundles",
        multiple=True,
        metavar="NAME|DIR",
        help="Bundle to use (the lite that ships); several make an ensemble.",
    ),
    click.option("--weights", metavar="W,W…", help="Weights of an ensemble's bundles."),
    store_option,
    int8_option,
    device_option,
    workers_option,
    click.option("--strict", is_flag=True, help="Stop where annotations are wrong."),
)


def inputs_of(
    dataset: str, split: str | None, options: dict[str, Any]
) -> tuple[Inputs, tuple[float, ...]]:
    """What to work on, and the bundles' weights. Takes its own out of the options.

    split: None means the one that the dataset is evaluated on.
    """
    from ..datasets import DATASETS, root_of
    from ..evaluation.request import Inputs
    from ..evaluation.selection import Selection
    from ..parallel import default_workers
    from ..store import store_root

    take = options.pop
    names = take("bundles")
    weights = _weights(take("weights"), len(names) or 1)
    bundles = opened_bundles(names)
    selection = Selection(
        tuple(name.strip() for name in take("categories").split(",") if name.strip()),
        take("limit"),
        take("sample"),
        take("seed"),
    )
    inputs = Inputs(
        dataset=dataset,
        root=root_of(dataset, take("root")),
        split=split or DATASETS[dataset].evaluated,
        setting=take("setting") or DATASETS[dataset].usual_setting,
        selection=selection,
        bundles=bundles,
        store=store_root(take("store")),
        stored_as="int8" if take("int8") else "float16",
        device=chosen_device(take("device"), bundles),
        workers=take("workers") or default_workers(),
        strict=take("strict"),
    )
    return inputs, weights


def _weights(text: str | None, count: int) -> tuple[float, ...]:
    if text is None:
        return (1 / count,) * count
    try:
        weights = tuple(float(word) for word in text.split(","))
    except ValueError:
        raise click.UsageError(f"--weights: {text!r} are not numbers; write 0.25,0.75") from None
    if len(weights) != count:
        raise click.UsageError(f"--weights: {len(weights)} for {count} bundles")
    return weights
