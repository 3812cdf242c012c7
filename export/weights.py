"""Weights: from whatever names them to a checked file, and from the file to a state dict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from ..runtime.bundle import sha256_of
from ..runtime.errors import GeoAwareError, InputError, first_line

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


def resolve(part: str, known: KnownWeights, source: str | None = None) -> Weights:
    """Find the weights of a part of a recipe.

    source: a local file; a local folder with `model.safetensors` or `pytorch_model.bin`; a
    Hugging Face id `owner/name[@revision]`, taken from the local cache where it is there and
    downloaded otherwise; `package:NAME/FILE` for a file inside an installed package; None for
    the part's own known weights, whose SHA-256 is checked.

    Raises InputError for a source that does not exist, GeoAwareError for one that cannot be
    fetched or is not what it should be.
    """
    asked = source or known.source
    path, revision = _locate(part, asked, known)
    digest = sha256_of(path)
    if asked == known.source and digest != known.sha256:
        raise GeoAwareError(
            f"{path}: SHA-256 {digest[:16]}… is not that of the {part} weights "
            f"({known.sha256[:16]}…); install them again: {known.install}"
        )
    licence = known.licence if digest == known.sha256 else "unknown"
    name = asked if revision or asked.startswith("package:") else path.name
    return Weights(path, name, revision, digest, licence)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a torch checkpoint, on the CPU.

    Code in a checkpoint is never run. A `state_dict` or `model_state_dict` inside is unwrapped.
    Raises GeoAwareError for a file that holds anything else.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds, all meaning the same
        problem = first_line(error)
        if "weights_only" in str(error).lower():
            problem = "it holds more than tensors; code in checkpoints is not run"
        raise GeoAwareError(f"{path}: not readable as weights: {problem}") from None
    for wrapper in ("model_state_dict", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise GeoAwareError(f"{path}: holds no state dict of tensors")
    return state


def load_into(module: nn.Module, state: Mapping[str, Tensor], ignore: Sequence[str] = ()) -> None:
    """Load a state dict; keys that begin with one of `ignore` may be left over.

    Raises GeoAwareError naming the first keys that are missing, left over or of another shape.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    extra = sorted(k for k in state.keys() - own.keys() if not k.startswith(tuple(ignore)))
    shapes = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("left over", extra), ("misshapen", shapes))
        if keys
    ]
    if problems:
        name = type(module).__name__
        raise GeoAwareError(f"these are not weights of {name}: {'; '.join(problems)}")
    module.load_state_dict({key: state[key] for key in own})


def _locate(part: str, source: str, known: KnownWeights) -> tuple[Path, str | None]:
    if source.startswith("package:"):
        return _in_package(part, source.removeprefix("package:"), known), None
    local = Path(source).expanduser()
    if local.is_file():
        return local, None
    if local.is_dir():
        for name in FILE_NAMES:
            if (local / name).is_file():
                return local / name, None
        raise InputError(f"{source}: holds none of {', '.join(FILE_NAMES)}")
    if match := HUB_ID.fullmatch(source):
        return _from_hub(match["repo"], match["revision"])
    raise InputError(
        f"weights {source!r}: no such file or folder, nor a Hugging Face id (owner/name)"
    )


def _in_package(part: str, inside: str, known: KnownWeights) -> Path:
    package, _, name = inside.partition("/")
    spec = find_spec(package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(root) / name).is_file():
            return path
    raise GeoAwareError(
        f"the {part} weights are not installed; install them ({known.install}) "
        f"or name others: --weights {part}=FILE"
    )


def _from_hub(repo: str, revision: str | None) -> tuple[Path, str]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    for name in FILE_NAMES:
        for offline in (True, False):
            try:
                path = Path(
                    hf_hub_download(repo, name, revision=revision, local_files_only=offline)
                )
            except LocalEntryNotFoundError as error:
                if offline:
                    continue
                raise GeoAwareError(
                    f"{repo}: not in the Hugging Face cache, and the Hub cannot be reached: "
                    f"{first_line(error)}"
                ) from None
            except GatedRepoError:
                raise GeoAwareError(
                    f"{repo}: accept its licence on its Hugging Face page, then set HF_TOKEN to "
                    "an access token of your account"
                ) from None
            except RevisionNotFoundError:
                raise GeoAwareError(f"{repo}: has no revision {revision!r}") from None
            except RepositoryNotFoundError:
                raise GeoAwareError(
                    f"{repo}: no such Hugging Face repository, or private"
                ) from None
            except EntryNotFoundError:
                break
            else:
                return path, path.parent.name
    raise GeoAwareError(f"{repo}: holds none of {', '.join(FILE_NAMES)}")
