"""Images to stored taps: each image goes through the backbones once, and is kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..export.parts import resolve_all
from ..export.weights import Weights
from ..runtime.datasets import Problem
from ..runtime.errors import GeoAwareError, InputError
from ..runtime.geometry import Frame
from ..runtime.parallel import default_workers, in_threads
from ..runtime.recipe import Recipe
from ..runtime.store import Key
from .framed import Framed, framed, read_ahead
from .taps import StoredTaps, TapStore

if TYPE_CHECKING:
    from ..runtime.evaluation.watch import Watch
    from .backbones import Backbones


@dataclass(frozen=True)
class Taps:
    """The stored taps of images, as training reads them.

    keys: of every image that has entries, by path.
    weights: of the backbones and what conditions them, by part.
    made: how many maps were made, not found in the store.
    failed: what is wrong with the images that cannot be read, by path.
    """

    store: TapStore
    recipe: Recipe
    keys: Mapping[Path, Key]
    weights: Mapping[str, Weights]
    made: int = 0
    failed: Mapping[Path, str] = field(default_factory=dict)

    def of(self, path: Path, mirrored: bool = False) -> list[Tensor]:
        """One float16 (c, h, w) on the CPU per tap, of an image or of its mirror image.

        Raises GeoAwareError where the store does not have them.
        """
        return [torch.from_numpy(tap) for tap in self._stored(path, mirrored).taps]

    def frame(self, path: Path) -> Frame:
        """The frame of an image, which is that of its mirror image too."""
        return self._stored(path, False).frame

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """How many channels each tap has."""
        return tuple(len(tap) for tap in self.of(next(iter(self.keys))))

    def _stored(self, path: Path, mirrored: bool) -> StoredTaps:
        return self.store.load(replace(self.keys[path], mirrored=mirrored))


def extract(
    images: Sequence[Path],
    recipe: Recipe,
    *,
    mirrored: bool,
    store: Path,
    sources: Mapping[str, str],
    seed: int | None,
    device: str,
    watch: Watch,
) -> Taps:
    """See that the store has the taps of every image; what is there is checked and kept.

    mirrored: whether those of the mirror images are wanted too.
    store: the feature store's folder.
    sources, seed: of the backbones' weights, as in `export.parts.resolve_all`; the head, if the
    recipe has one, takes no part.
    device: `cpu`, or `cuda` for the backbones in fp16.

    What was stored before an interruption stays, so the next call goes on from there. Images that
    cannot be read are told and left out. Raises InputError where none is left or the GPU is
    missing, GeoAwareError where weights or room on the disk are, or an entry cannot be written.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no GPU; use --device cpu")
    bare = recipe.model_copy(update={"head": None})
    weights = resolve_all(bare, sources, seed)
    entries = TapStore.open(store, bare, weights)
    found = _look_up(images, entries, mirrored, watch)
    made = 0
    if found.missing:
        from .backbones import Backbones  # transformers: seconds that a full store need not wait

        backbones = Backbones(bare, weights, device)
        _announce(found, entries, backbones.map_bytes(), watch)
        made = _make(found, entries, recipe, backbones, watch)
    if found.failed:
        watch.problems([Problem(str(path), what) for path, what in sorted(found.failed.items())])
    if not found.keys:
        raise InputError(f"none of {len(images)} images can be read")
    return Taps(entries, recipe, found.keys, weights, made, found.failed)


@dataclass
class _Found:
    """What the store has of some images.

    missing: the entries to make, by the path of an image that they are made of.
    there: the entries that hold.
    """

    keys: dict[Path, Key] = field(default_factory=dict)
    missing: dict[Path, list[Key]] = field(default_factory=dict)
    there: set[Key] = field(default_factory=set)
    failed: dict[Path, str] = field(default_factory=dict)

    def fail(self, failed: Mapping[str, str]) -> None:
        """Put images aside that turned out to be unreadable, by digest."""
        for path, key in list(self.keys.items()):
            if key.digest in failed:
                self.failed[path] = failed[key.digest]
                del self.keys[path]


def _look_up(images: Sequence[Path], store: TapStore, mirrored: bool, watch: Watch) -> _Found:
    def look(path: Path) -> dict[Key, bool | None] | str:
        """Whether an image's entries hold, None where there are none; or what is wrong with it."""
        try:
            plain = Key.of(path)
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        wanted = (plain, replace(plain, mirrored=True)) if mirrored else (plain,)
        return {key: store.holds(key) for key in wanted}

    paths = list(dict.fromkeys(images))
    looked = {}
    with watch.stage("looking into the store", len(paths), "images") as advance:
        for path, entries in in_threads(look, paths, default_workers()):
            looked[path] = entries
            advance(1)
    found, asked = _Found(), set[Key]()
    for path in paths:
        entries = looked[path]
        if isinstance(entries, str):
            found.failed[path] = entries
            continue
        found.keys[path] = next(iter(entries))
        for key in [key for key in entries if key not in asked]:
            if entries[key]:
                found.there.add(key)
                continue
            found.missing.setdefault(path, []).append(key)
            if entries[key] is False:
                watch.note(f"{store.path(key)}: does not hold, is made again")
        asked |= entries.keys()
    return found


def _announce(found: _Found, store: TapStore, size: int, watch: Watch) -> None:
    """Say how much will be made. Raises GeoAwareError where the disk has no room for it."""
    keys = [key for each in found.missing.values() for key in each]
    plain, turned = ({key.digest for key in keys if key.mirrored == side} for side in (False, True))
    of = [f"{len(plain)} images"] if plain else []
    if turned:
        of.append("their mirror images" if plain == turned else f"{len(turned)} mirror images")
    there = f"; {len(found.there)} more are there" if found.there else ""
    total = len(keys) * size / 1e6
    watch.note(
        f"{len(keys)} maps: {' and '.join(of)}; "
        f"{size / 1e6:.2f} MB each, {total:,.0f} MB in {store.folder}{there}"
    )
    free = shutil.disk_usage(store.folder).free / 1e6
    if free < total:
        raise GeoAwareError(
            f"{store.folder}: {total:,.0f} MB do not fit, {free:,.0f} MB are free; "
            "name another disk with --store"
        )


def _make(
    found: _Found, store: TapStore, recipe: Recipe, backbones: Backbones, watch: Watch
) -> int:
    """Make and store what is missing; how many entries that was."""

    def read(path: Path) -> list[Framed] | str:
        return framed(path, found.missing[path], recipe.frame, backbones.sides)

    paths, made, failed = list(found.missing), 0, {}
    size = max(1, backbones.batch // 2)  # images: most are asked for with their mirror image
    batches = [paths[i : i + size] for i in range(0, len(paths), size)]
    total = sum(len(keys) for keys in found.missing.values())
    with (
        ThreadPoolExecutor(default_workers()) as pool,
        watch.stage(f"{recipe.name}: taps", total, "maps") as advance,
    ):
        for batch, read_batch in zip(batches, read_ahead(read, batches, pool), strict=True):
            views = []
            for path, outcome in zip(batch, read_batch, strict=True):
                if isinstance(outcome, str):
                    failed[found.missing[path][0].digest] = outcome
                else:
                    views += outcome
            for i in range(0, len(views), backbones.batch):
                _store(views[i : i + backbones.batch], store, backbones)
            made += len(views)
            advance(sum(len(found.missing[path]) for path in batch))
    found.fail(failed)
    return made


def _store(views: Sequence[Framed], store: TapStore, backbones: Backbones) -> None:
    sides = views[0].pixels.keys()
    taps = backbones.taps({side: np.stack([each.pixels[side] for each in views]) for side in sides})
    for index, view in enumerate(views):
        store.save(view.key, [tap[index] for tap in taps], view.frame)
