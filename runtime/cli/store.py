"""`georun store`: what the feature store holds, features and taps, and clearing it."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .inputs import store_option

if TYPE_CHECKING:
    from ..store_upkeep import Entry

DAY = 24 * 3600


@click.group()
def store() -> None:
    """Look at or clear the store of extracted features, and of the taps that heads learn from."""


@store.command()
@store_option
@click.option("--json", "to_stdout", is_flag=True, help="Print JSON.")
def info(store: str | None, to_stdout: bool) -> None:
    """Show what the store holds, by bundle; of taps, by the backbones they are of."""
    from ..store_upkeep import entries, left_behind
    from .console import print_rows

    root = _root(store)
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries(root):
        groups[entry.owner, entry.kind].append(entry)
    names = _names(root, groups)
    rows: list[dict[str, Any]] = [
        {
            "bundle": owner,
            "name": names.get(owner, ""),
            "stored_as": kind,
            "images": sum(not entry.key.mirrored for entry in members),
            "mirrored": sum(entry.key.mirrored for entry in members),
            "bytes": sum(entry.bytes for entry in members),
        }
        for (owner, kind), members in groups.items()
    ]
    if to_stdout:
        unfinished = [str(path) for path in left_behind(root)]
        click.echo(json.dumps({"store": str(root), "bundles": rows, "left_behind": unfinished}))
        return
    if not rows:
        click.echo(f"{root}: holds no features")
        return
    columns = ("bundle", "name", "stored as", "images", "mirrored", "MB")
    cells = [
        (*(str(value) for value in list(row.values())[:-1]), f"{row['bytes'] / 1e6:.1f}")
        for row in rows
    ]
    print_rows(str(root), columns, cells)


@store.command()
@store_option
@click.option("--bundle", metavar="NAME|HASH", help="Entries of this bundle, or taps by hash.")
@click.option("--older-than", type=click.IntRange(0), metavar="DAYS", help="Written before that.")
@click.option("--damaged", is_flag=True, help="Entries whose content is not what was written.")
@click.option("--all", "everything", is_flag=True, help="All entries.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def prune(
    store: str | None,
    bundle: str | None,
    older_than: int | None,
    damaged: bool,
    everything: bool,
    dry_run: bool,
) -> None:
    """Remove entries that every option given applies to.

    What killed processes left behind more than a day ago goes too.
    """
    from ..store_upkeep import entries, left_behind, remove

    if not (bundle or older_than is not None or damaged or everything):
        raise click.UsageError("say what to remove: --bundle, --older-than, --damaged or --all")
    root = _root(store)
    digest = _hash_of(bundle) if bundle else None
    oldest = time.time() - (older_than or 0) * DAY
    chosen = [
        entry
        for entry in entries(root)
        if (digest is None or entry.owner == digest)
        and (older_than is None or entry.modified < oldest)
        and not (damaged and entry.holds())
    ]
    stale = [path for path in left_behind(root) if path.stat().st_mtime < time.time() - DAY]
    size = sum(entry.bytes for entry in chosen) / 1e6
    if not dry_run:
        for path in (*(entry.path for entry in chosen), *stale):
            remove(path)
    done = "would be removed" if dry_run else "removed"
    click.echo(f"{root}: {len(chosen)} entries, {size:.1f} MB {done}")


def _root(store: str | None) -> Path:
    from ..errors import InputError
    from ..store import store_root

    root = store_root(store)
    if store and not root.is_dir():
        raise InputError(f"{root}: no such folder")
    return root


def _names(root: Path, groups: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names of the bundles on this machine and of taps' backbones, by hash, where they are told."""
    from ..bundle import installed, read_manifest
    from ..errors import GeoAwareError
    from ..store_upkeep import TAPS, backbones_of_taps

    names = {owner: backbones_of_taps(root, owner) for owner, kind in groups if kind == TAPS}
    for path in installed():
        try:
            manifest = read_manifest(path)
        except GeoAwareError:
            continue
        names[manifest.hash()] = manifest.name
    return names


def _hash_of(bundle: str) -> str:
    """The hash of a bundle given by name, or the hash itself, of taps or of a bundle long gone."""
    from ..bundle import Bundle

    if re.fullmatch(r"[0-9a-f]{16}", bundle):
        return bundle
    return Bundle.open(bundle).manifest.hash()
