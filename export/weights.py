"""Weights: from whatever names them to a checked file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..runtime.bundle import sha256_of
from ..runtime.errors import GeoAwareError, InputError, first_line
from ..runtime.manifest import WeightsRecord

PACKAGE, LOCAL = "package:", "local:"
FILE_NAMES = ("model.safetensors", "pytorch_model.bin")
HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class KnownWeights:
    """Where a part's weights are found unless the user says otherwise."""

    source: str
    sha256: str
    licence: str
    install: str


@dataclass(frozen=True)
class Weights:
    """A weights file at hand, and where it came from."""

    path: Path
    source: str
    revision: str | None
    sha256: str
    licence: str


def resolve(
    part: str, known: KnownWeights, source: str | None = None, download: bool = True
) -> Weights:
    """Find the weights of a part of a recipe.

    source: a local file; a local folder with `model.safetensors` or `pytorch_model.bin`; a
    Hugging Face id `owner/name[@revision]`, taken from the local cache where it is there and
    downloaded otherwise; `package:NAME/FILE` for a file inside an installed package; None for
    the part's own known weights, whose SHA-256 is checked.

    Raises InputError for a source that does not exist, GeoAwareError for one that cannot be
    fetched (or is not at hand, without `download`) or is not what it should be.
    """
    asked = source or known.source
    path, revision = _locate(part, asked, known, download)
    digest = sha256_of(path)
    if asked == known.source and digest != known.sha256:
        raise GeoAwareError(
            f"{path}: SHA-256 {digest[:16]}… is not that of the {part} weights "
            f"({known.sha256[:16]}…); install them again: {known.install}"
        )
    licence = known.licence if digest == known.sha256 else "unknown"
    name = asked.partition("@")[0] if revision else asked
    if not revision and not asked.startswith(PACKAGE):
        name = f"{LOCAL}{path.name}"
    return Weights(path, name, revision, digest, licence)


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


def _locate(part: str, source: str, known: KnownWeights, download: bool) -> tuple[Path, str | None]:
    if source.startswith(PACKAGE):
        return _in_package(part, source.removeprefix(PACKAGE), known), None
    local = Path(source).expanduser()
    try:
        if local.is_file():
            return local, None
        if local.is_dir():
            for name in FILE_NAMES:
                if (local / name).is_file():
                    return local / name, None
            raise InputError(f"{source}: holds none of {', '.join(FILE_NAMES)}")
    except OSError as error:
        raise InputError(f"{source[:80]}: {error.strerror}") from None
    if match := HUB_ID.fullmatch(source):
        return _from_hub(match["repo"], match["revision"], download)
    raise InputError(
        f"weights {source!r}: no such file or folder, nor a Hugging Face id (owner/name)"
    )


def _in_package(part: str, inside: str, known: KnownWeights) -> Path:
    package, _, name = inside.partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    for root in (spec.submodule_search_locations or []) if spec else []:
        path = (Path(root) / name).resolve()
        if path.is_relative_to(Path(root).resolve()) and path.is_file():
            return path
    if f"{PACKAGE}{inside}" != known.source:
        raise InputError(f"{PACKAGE}{inside}: no such package is installed, or no such file in it")
    raise GeoAwareError(
        f"the {part} weights are not installed; install them ({known.install}) "
        f"or name others: --weights {part}=FILE"
    )


def _from_hub(repo: str, revision: str | None, download: bool) -> tuple[Path, str]:
    for offline in (True, False) if download else (True,):
        for name in FILE_NAMES:
            if path := _hub_file(repo, name, revision, offline):
                return path, path.parent.name
    where = "" if download else " in the Hugging Face cache"
    raise GeoAwareError(f"{repo}: none of {', '.join(FILE_NAMES)}{where}")


def _hub_file(repo: str, name: str, revision: str | None, offline: bool) -> Path | None:
    """A file of a Hub repository, from the cache or (not offline) by download; None if absent."""
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(repo, name, revision=revision, local_files_only=offline))
    except errors.HFValidationError as error:
        raise InputError(f"{repo}: not a Hugging Face id: {first_line(error)}") from None
    except errors.LocalEntryNotFoundError as error:
        if offline:
            return None
        raise GeoAwareError(
            f"{repo}: not in the Hugging Face cache, and the Hub cannot be reached: "
            f"{first_line(error)}"
        ) from None
    except errors.GatedRepoError:
        raise GeoAwareError(
            f"{repo}: accept its licence on its Hugging Face page, then set HF_TOKEN to an access "
            "token of your account"
        ) from None
    except errors.RevisionNotFoundError:
        raise GeoAwareError(f"{repo}: has no revision {revision!r}") from None
    except errors.RepositoryNotFoundError:
        raise GeoAwareError(f"{repo}: no such Hugging Face repository, or private") from None
    except errors.EntryNotFoundError:
        return None
