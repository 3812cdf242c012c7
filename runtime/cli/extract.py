"""`georun extract`: the features of many images, into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .inputs import (
    DATASET_NAMES,
    int8_option,
    root_option,
    setting_option,
    store_option,
    workers_option,
)
from .options import bundle_option, chosen_device, device_option

if TYPE_CHECKING:
    from ..datasets import Pair, Problem
    from ..engines import Device
    from ..store import StoredAs


@click.command()
@click.argument("images", metavar="DIR|DATASET")
@bundle_option
@click.option("--mirrored", is_flag=True, help="The images' mirror images too.")
@root_option
@click.option("--split", help="Only a dataset's train, val or test images (all there are).")
@setting_option
@store_option
@int8_option
@device_option
@workers_option
def extract(
    images: str,
    bundle: str | None,
    mirrored: bool,
    root: str | None,
    split: str | None,
    setting: str | None,
    store: str | None,
    int8: bool,
    device: Device,
    workers: int | None,
) -> None:
    """Put the features of all images of a folder or a dataset into the store.

    Images that are there already are checked and kept, so an interrupted run goes on.
    """
    from ..bundle import Bundle
    from ..errors import GeoAwareError
    from ..evaluation.features import ensure
    from ..parallel import default_workers
    from ..store import FeatureStore, store_root
    from .watch import Bars

    opened = Bundle.open(bundle)
    chosen = chosen_device(device, [opened])
    if images in DATASET_NAMES:
        paths = _of_dataset(images, root, split, setting)
    elif root or split or setting:
        raise click.UsageError("--root, --split and --setting belong to a dataset")
    else:
        paths = _of_folder(Path(images))
    stored_as: StoredAs = "int8" if int8 else "float16"
    features = FeatureStore(store_root(store), opened.manifest.hash(), stored_as)
    failed: dict[Path, str] = {}
    for turned in (False, True) if mirrored else (False,):
        count = workers or default_workers()
        done = ensure(paths, opened, features, turned, chosen, count, Bars())
        failed |= done.failed
        what = "mirrored images" if turned else "images"
        click.echo(f"{what}: {done.extracted} extracted, {done.from_store} in the store already")
    for path, problem in sorted(failed.items()):
        click.echo(f"{path}: {problem}", err=True)
    if failed:
        raise GeoAwareError(f"{len(failed)} of {len(paths)} images cannot be read; see above")


def _of_folder(folder: Path) -> list[Path]:
    from ..errors import InputError
    from ..images import images_below

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, and no dataset: {', '.join(DATASET_NAMES)}")
    return images_below(folder)


def _of_dataset(name: str, root: str | None, split: str | None, setting: str | None) -> list[Path]:
    """The images of a dataset's pairs, of all splits and settings that are there."""
    from ..datasets import DATASETS, read, root_of
    from ..datasets import images as images_of
    from ..errors import InputError
    from .watch import Bars

    folder = root_of(name, root)
    pairs: list[Pair] = []
    problems: dict[Problem, None] = {}
    missing: InputError | None = None
    asked = [
        (each, of)
        for each, of in DATASETS[name].lists()
        if split in (None, each) and setting in (None, of)
    ]
    for each, of in asked or [(split or "", setting or "")]:  # the latter is an error of its own
        try:
            listing = read(name, folder, each, of)
        except InputError as error:
            missing = error
            continue
        pairs += listing.pairs
        problems |= dict.fromkeys(listing.problems)
    if missing and not pairs:
        raise missing
    if problems:
        Bars().problems(list(problems))
    return images_of(pairs)
