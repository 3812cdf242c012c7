"""The suite `features`: images to descriptors, beside what people would use instead.

From "file", image files are read, framed and run through the network. From "tensor", frames that
are ready are run through it; they and the descriptors are on the host, on a GPU too.

The first batch size is measured from both, with all rivals; the others from tensors, with the rival
that was the fastest in the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TypeAlias

from geoaware.runtime import GeoAwareError, Pipeline
from geoaware.runtime.errors import InputError
from geoaware.runtime.manifest import Manifest

from .bundles import bundle
from .contenders import Contenders, contenders
from .rows import OURS, Row
from .settings import Settings, Watch
from .timing import Call, Pace, interleaved

Case: TypeAlias = "dict[str, str | int]"


def rows(settings: Settings, watch: Watch) -> Iterator[Row]:
    """Milliseconds of every contender, for each recipe, precision, frame, batch size and source.

    Raises InputError for a recipe or a device that is not there.
    """
    frames = settings.frames or (None,)
    for recipe, precision, frame in product(settings.recipes, settings.precisions, frames):
        try:
            made = bundle(recipe, precision, frame, watch)
            pipeline = Pipeline(made, settings.device, settings.threads)
        except InputError:
            raise
        except GeoAwareError as error:
            yield _absent({"recipe": recipe, "precision": precision}, OURS, str(error))
        else:
            yield from _of_bundle(pipeline, settings, watch)


def _of_bundle(pipeline: Pipeline, settings: Settings, watch: Watch) -> Iterator[Row]:
    about = _about(pipeline.bundle.manifest)
    found = contenders(pipeline, settings.threads, watch)
    first, *others = settings.batches
    case = {**about, "batch": first, "from": "file"}
    yield from _measured(case, found.from_files(first), found, settings.pace, watch)
    yield from (_absent(case, name, why) for name, why in found.missing.items() if name != OURS)
    case = {**about, "batch": first, "from": "tensor"}
    all_rows = _measured(case, found.from_tensors(first), found, settings.pace, watch)
    yield from all_rows
    yield from (_absent(case, name, why) for name, why in found.missing.items())
    fastest = _fastest(all_rows)
    for batch in others:
        case = {**about, "batch": batch, "from": "tensor"}
        calls = {name: call for name, call in found.from_tensors(batch).items() if name in fastest}
        yield from _measured(case, calls, found, settings.pace, watch)


def _about(manifest: Manifest) -> Case:
    return {
        "recipe": manifest.recipe.name,
        "weights": "random" if manifest.is_random else "trained",
        "precision": manifest.precision,
        "frame": manifest.recipe.frame.side,
    }


def _measured(
    case: Case, calls: Mapping[str, Call], found: Contenders, pace: Pace, watch: Watch
) -> list[Row]:
    watch.note(f"features, {', '.join(map(str, case.values()))}: {', '.join(calls)}")
    spreads = interleaved({name: [call] for name, call in calls.items()}, pace)
    return [
        Row(
            suite="features",
            case=case,
            contender=name,
            unit="ms",
            spread=spread,
            difference=found.differences.get(name),
            device=found.pipeline.device if name == OURS else None,
        )
        for name, spread in spreads.items()
    ]


def _absent(case: Case, contender: str, why: str) -> Row:
    return Row(suite="features", case=case, contender=contender, unit="ms", missing=why)


def _fastest(rows: Sequence[Row]) -> set[str]:
    """Ours, and the rival whose median is the least."""
    rivals = {row.contender: row.spread.median for row in rows if row.spread}
    rivals.pop(OURS, None)
    return {OURS, *sorted(rivals, key=rivals.__getitem__)[:1]}
