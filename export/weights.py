"""Weights: from whatever names them to checked files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..runtime.bundle import sha256_of
from ..runtime.errors import GeoAwareError, InputError
from ..runtime.manifest import LOCAL, RANDOM, WeightsRecord
from . import hub
from .registry import Files, KnownWeights
from .shards import shards

PACKAGE = "package:"
FILE_SUFFIXES = {".bin", ".ckpt", ".onnx", ".pt", ".pth", ".safetensors"}


@dataclass(frozen=True)
class Found:
    """Weights at hand: their files by role, what to call them, and their revision."""

    files: Mapping[str, Path]
    source: str
    revision: str | None = None


@dataclass(frozen=True)
class Weights(Found):
    """Weights at hand, and what is in them.

    files: by role; empty for random weights, whose seed is the end of `source`.
    sha256: of the file, or over those of all files; None for random weights.
    """

    sha256: str | None = None
    licence: str = "unknown"

    @property
    def seed(self) -> int | None:
        """The seed of random weights."""
        return None if self.files else int(self.source.removeprefix(RANDOM))


def resolve(part: str, known: KnownWeights, source: str | None = None) -> Weights:
    """Find the weights of a part of a recipe, and look at every byte of them.

    source: as for `locate`; None for the part's published weights.

    Raises what `locate` raises, and GeoAwareError where a published file is not what it should be.
    """
    found = locate(part, known, source)
    if not found.files:
        return Weights({}, found.source, licence="none")
    digests = {role: _digest(path) for role, path in found.files.items()}
    published = source is None
    for role, path in found.files.items():
        expected = known.sha256.get(path.name, known.sha256.get(f"{found.source}/{path.name}"))
        if published and expected and digests[role] != expected:
            raise GeoAwareError(
                f"{path}: SHA-256 {digests[role][:16]}… is not that of the {part} weights "
                f"({expected[:16]}…); get them again: {known.get}"
            )
    recognised = set(digests.values()) <= set(known.sha256.values())
    licence = known.licence if published or recognised else "unknown"
    return Weights(found.files, found.source, found.revision, _together(digests), licence)


def locate(
    part: str, known: KnownWeights, source: str | None = None, download: bool = True
) -> Found:
    """Find the files of a part's weights without reading them.

    source: a local file; a local folder; a Hugging Face id `owner/name[@revision]`, taken from the
    local cache where it is there and downloaded otherwise; `package:NAME/FILE` for a file inside an
    installed package; `random:SEED`; None for the part's published weights. Folders and
    repositories hold files named as in `known.files`.

    Raises InputError for a source that does not exist, GeoAwareError for one that cannot be
    fetched (or is not at hand, without `download`).
    """
    if source is not None:
        return _from(part, source, known, download)
    for name in known.sources:
        if not name.startswith(PACKAGE) and (found := _on_hub(name, known.files, offline=True)):
            return found
    problems = []
    for name in known.sources if download else known.sources[:1]:
        try:
            return _from(part, name, known, download)
        except hub.GatedError:
            raise
        except hub.UnreachableError as error:
            problems += [str(error), known.get]
            break
        except GeoAwareError as error:
            problems.append(str(error))
    name_them = f"name them: --weights {part}=SOURCE"
    if not problems:
        raise GeoAwareError(f"the {part} weights are not at hand; {known.get}, then {name_them}")
    raise GeoAwareError("; ".join([*problems, f"or {name_them}"]))


def source_of(record: WeightsRecord) -> str:
    """The source that gives the recorded weights again.

    Raises InputError for local files: a bundle does not say where on a disk they were.
    """
    if record.source.startswith(LOCAL):
        raise InputError(
            f"built from the local file {record.source.removeprefix(LOCAL)}; "
            f"name it: --weights {record.part}=FILE"
        )
    return f"{record.source}@{record.revision}" if record.revision else record.source


def _from(part: str, source: str, known: KnownWeights, download: bool) -> Found:
    if source.startswith(RANDOM):
        return _random(source)
    if source.startswith(PACKAGE):
        return Found({"model": _in_package(part, source.removeprefix(PACKAGE), known)}, source)
    local = Path(source).expanduser()
    try:
        if local.is_file():
            return Found({"model": local}, f"{LOCAL}{local.name}")
        if local.is_dir():
            return _in_folder(local, known.files)
    except OSError as error:
        raise InputError(f"{source[:80]}: {error.strerror}") from None
    if not hub.is_id(source) or local.suffix in FILE_SUFFIXES:
        raise InputError(
            f"weights {source!r}: no such file or folder, nor a Hugging Face id (owner/name)"
        )
    if found := _on_hub(source, known.files, offline=True):
        return found
    if download and (found := _on_hub(source, known.files, offline=False)):
        return found
    where = "" if download else " in the Hugging Face cache"
    raise GeoAwareError(f"{source}: {_names(known.files)}{where}")


def _random(source: str) -> Found:
    seed = source.removeprefix(RANDOM)
    if not re.fullmatch(r"\d{1,9}", seed):
        raise InputError(f"weights {source!r}: write {RANDOM}SEED, the seed a whole number")
    return Found({}, f"{RANDOM}{int(seed)}")


def _in_folder(folder: Path, files: Files) -> Found:
    found = {}
    for role, names in files.items():
        there = [folder / name for name in names if (folder / name).is_file()]
        if not there:
            raise InputError(f"{folder}: {_names({role: names})}")
        found[role] = there[0]
        for shard in shards(there[0]):
            if not (there[0].parent / shard).is_file():
                raise InputError(f"{there[0]}: names {shard}, which is not beside it")
    return Found(found, f"{LOCAL}{folder.name}")


def _in_package(part: str, inside: str, known: KnownWeights) -> Path:
    package, _, name = inside.partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    for root in (spec.submodule_search_locations or []) if spec else []:
        path = (Path(root) / name).resolve()
        if path.is_relative_to(Path(root).resolve()) and path.is_file():
            return path
    if f"{PACKAGE}{inside}" not in known.sources:
        raise InputError(f"{PACKAGE}{inside}: no such package is installed, or no such file in it")
    raise GeoAwareError(f"the {part} weights are not installed ({known.get})")


def _on_hub(source: str, files: Files, offline: bool) -> Found | None:
    """The files of a repository, from the cache or by download; None where one is not there."""
    repository, revision = hub.parse(source)
    found = {}
    for role, names in files.items():
        paths = (hub.file(repository, name, revision, offline) for name in names)
        path = next(filter(None, paths), None)
        if path is None:
            return None
        root = path.parents[len(Path(_name_of(path, names)).parts) - 1]
        for shard in shards(path):
            inside = str((path.parent / shard).relative_to(root))
            if hub.file(repository, inside, revision, offline) is None:
                return None
        found[role], revision = path, root.name
    return Found(found, repository, root.name)


def _name_of(path: Path, names: tuple[str, ...]) -> str:
    return next(name for name in names if path.as_posix().endswith(name))


def _names(files: Files) -> str:
    """What is missing where files of every role are looked for in vain."""
    return "; ".join(f"holds none of {', '.join(names)}" for names in files.values())


def _digest(path: Path) -> str:
    try:
        names = shards(path) or [path.name]
        return _together({name: sha256_of(path.parent / name) for name in names})
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _together(digests: Mapping[str, str]) -> str:
    """One digest of several files: their own of one, else over the sorted lines of all."""
    if len(digests) == 1:
        return next(iter(digests.values()))
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
