"""What an evaluation works on: selected pairs, with every image's features in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..datasets import DATASETS, Pair, Problem, images, read
from ..errors import GeoAwareError
from ..store import FeatureStore, Key
from .features import ensure
from .request import Inputs, check_frames
from .selection import fingerprint
from .watch import Watch


@dataclass(frozen=True)
class Material:
    """Selected pairs whose images all have features in the stores, one store per bundle.

    keys: of every image, by path; its mirror image has the same digest.
    extracted, from_store: how many feature maps were made now, how many were there.
    """

    pairs: list[Pair]
    keys: dict[Path, Key]
    stores: tuple[FeatureStore, ...]
    fingerprint: str
    problems: tuple[Problem, ...]
    skipped: int
    extracted: int
    from_store: int


@dataclass(frozen=True)
class Selected:
    """Pairs to work on, what is wrong with others, and how many were left out for it."""

    pairs: list[Pair]
    problems: tuple[Problem, ...]
    skipped: int


def select(inputs: Inputs, watch: Watch) -> Selected:
    """Read the dataset and select its pairs.

    Raises InputError where nothing fits what was asked for, GeoAwareError where problems stop a
    strict run or no pair is left.
    """
    spec = DATASETS[inputs.dataset]
    check_frames(inputs.bundles)
    with watch.stage(f"{spec.title}: annotations", 1, "datasets"):
        listing = read(inputs.dataset, inputs.root, inputs.split, inputs.setting)
    _report(listing.problems, inputs.strict, watch)
    pairs = inputs.selection.of(listing.pairs)
    if not pairs:
        where = " ".join(filter(None, (inputs.setting, inputs.split)))
        raise GeoAwareError(f"{inputs.root}: no pair of {spec.title} {where} is left to work on")
    return Selected(pairs, listing.problems, listing.skipped)


def gather(
    inputs: Inputs, selected: Selected, watch: Watch, mirrored_sources: bool = False
) -> Material:
    """See that the stores have the features of the selected pairs' images.

    mirrored_sources: whether the mirror images of the sources are needed too.

    Raises GeoAwareError where unreadable images stop a strict run or no pair is left.
    """
    work = [(images(selected.pairs), False)]
    if mirrored_sources:
        work.append((sorted({pair.source.path for pair in selected.pairs}), True))
    stores = tuple(
        FeatureStore(inputs.store, bundle.manifest.hash(), inputs.stored_as)
        for bundle in inputs.bundles
    )
    done = [
        ensure(paths, bundle, store, mirrored, inputs.device, inputs.workers, watch)
        for bundle, store in zip(inputs.bundles, stores, strict=True)
        for paths, mirrored in work
    ]
    failed = {path: what for each in done for path, what in each.failed.items()}
    unreadable = tuple(Problem(str(path), failed[path]) for path in sorted(failed))
    _report(unreadable, inputs.strict, watch)
    pairs = [
        pair for pair in selected.pairs if not {pair.source.path, pair.target.path} & failed.keys()
    ]
    if not pairs:
        raise GeoAwareError(f"{inputs.root}: no pair is left whose images can be read")
    keys = {path: Key(key.digest) for path, key in done[0].keys.items()}
    return Material(
        pairs=pairs,
        keys=keys,
        stores=stores,
        fingerprint=fingerprint(pairs, keys),
        problems=selected.problems + unreadable,
        skipped=selected.skipped + len(selected.pairs) - len(pairs),
        extracted=sum(each.extracted for each in done),
        from_store=sum(each.from_store for each in done),
    )


def _report(problems: Sequence[Problem], strict: bool, watch: Watch) -> None:
    if not problems:
        return
    watch.problems(problems)
    if strict:
        raise GeoAwareError(f"{len(problems)} problems in the dataset, and --strict was given")
