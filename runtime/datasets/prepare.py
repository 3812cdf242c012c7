"""Datasets made ready: fetched, unpacked, their lists of pairs built, every annotation read."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ..bundle import sha256_of
from ..errors import GeoAwareError, InputError
from . import DATASETS, Problem, ap10k_benchmark, images, read
from .archive import Archive, ArchiveError
from .download import discard, download
from .place import Advance, alone, beside
from .unpack import Plan, inspect, unpack


class Progress(Protocol):
    """Shows a step while it runs."""

    def __call__(
        self, step: str, unit: Literal["bytes", "lists"]
    ) -> AbstractContextManager[Advance]:
        """Show a step; what it yields is told how far the step is."""


@dataclass(frozen=True)
class Checked:
    """What reading a split of a dataset, in one of its settings, has found.

    images: how many different images its pairs are made of.
    skipped: pairs left out because of the problems.
    absent: what is missing, where the split is not there at all.
    """

    split: str
    setting: str
    pairs: int = 0
    images: int = 0
    skipped: int = 0
    problems: tuple[Problem, ...] = ()
    absent: str | None = None


def fetch(url: str, root: Path, sha256: str | None, progress: Progress) -> None:
    """Download an archive beside a dataset's folder, unpack it there, and remove it.

    After a failure the download stays, whole or in part, and another call goes on from there; one
    that is no archive, or has another SHA-256, is removed.

    Raises what `download`, `unpack.inspect` and `unpack.unpack` raise.
    """
    with alone(root):
        file = beside(root, "{}.download")
        with progress("downloading", "bytes") as advance:
            download(url, file, advance)
        try:
            _unpack(_inspected(file, sha256, progress), root, progress)
        except ArchiveError as error:
            discard(file)
            raise ArchiveError(f"{url}: {error} (the download was removed)") from None
        except GeoAwareError as error:
            raise type(error)(f"{error} (the download is kept: {file})") from None
        discard(file)


def install(archive: Path, root: Path, sha256: str | None, progress: Progress) -> None:
    """Unpack an archive into a dataset's folder.

    Raises what `unpack.inspect` and `unpack.unpack` raise, and ArchiveError where the archive has
    another SHA-256.
    """
    plan = _inspected(archive, sha256, progress)
    with alone(root):
        _unpack(plan, root, progress)


def check(name: str, root: Path, progress: Progress) -> list[Checked]:
    """Read every split of a dataset in every setting; of AP-10K, build the lists of pairs first.

    Raises GeoAwareError where the lists of pairs cannot be built.
    """
    if name == "ap10k":
        _build_lists(root, progress)
    found = []
    with progress("reading", "lists") as advance:
        asked = DATASETS[name].lists()
        for number, (split, setting) in enumerate(asked):
            advance(number, len(asked))
            found.append(_checked(name, root, split, setting))
    return found


def check_usable(name: str, root: Path, found: list[Checked]) -> None:
    """Raise GeoAwareError where no pair of the dataset can be used, whatever the reason."""
    if any(each.pairs for each in found):
        return
    start = f"{root}: no pair of {DATASETS[name].title} can be used"
    if problems := problems_of(found):
        raise GeoAwareError(f"{start}: {len(problems)} problem{'s' * (len(problems) > 1)}")
    absent = next((each.absent for each in found if each.absent), "its lists are empty")
    raise GeoAwareError(f"{start}: {absent}")


def problems_of(found: list[Checked]) -> tuple[Problem, ...]:
    """The problems of all splits, each once."""
    return tuple(dict.fromkeys(problem for each in found for problem in each.problems))


def not_validated(found: list[Checked]) -> list[str]:
    """The settings that have pairs to learn from and none to validate on."""
    pairs = {(each.split, each.setting): each.pairs for each in found}
    return [
        setting
        for (split, setting), count in pairs.items()
        if split == "train" and count and not pairs.get(("val", setting))
    ]


def _inspected(file: Path, sha256: str | None, progress: Progress) -> Plan:
    if sha256:
        with Archive.open(file), progress("checking SHA-256", "bytes"):
            found = sha256_of(file)
        if found != sha256.lower():
            raise ArchiveError(f"{file}: has SHA-256 {found}, not {sha256.lower()}; get another")
    with progress("inspecting", "bytes") as advance:
        return inspect(file, advance)


def _unpack(plan: Plan, root: Path, progress: Progress) -> None:
    with progress("unpacking", "bytes") as advance:
        unpack(plan, root, advance)


def _build_lists(root: Path, progress: Progress) -> None:
    with progress("building the lists of pairs", "lists"):
        try:
            ap10k_benchmark.build(root)
        except InputError as error:
            raise GeoAwareError(str(error)) from None


def _checked(name: str, root: Path, split: str, setting: str) -> Checked:
    try:
        listing = read(name, root, split, setting)
    except InputError as error:
        return Checked(split, setting, absent=str(error))
    except GeoAwareError as error:
        where, _, what = str(error).partition(": ")  # of all lists that need a file, one problem
        return Checked(split, setting, problems=(Problem(where, what),))
    count = len(images(listing.pairs))
    return Checked(split, setting, len(listing.pairs), count, listing.skipped, listing.problems)
