"""Files of Hugging Face repositories, from the local cache or by download."""

from __future__ import annotations

import re
from pathlib import Path

from ..runtime.errors import GeoAwareError, InputError, first_line

_ID = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


class UnreachableError(GeoAwareError):
    """There is no way to the Hub: no repository of it can be had now."""


class GatedError(GeoAwareError):
    """A person has to accept a licence first; no mirror is a way around that."""


def is_id(text: str) -> bool:
    """Whether a text has the form `owner/name[@revision]`."""
    return _ID.fullmatch(text) is not None


def parse(text: str) -> tuple[str, str | None]:
    """The repository and the revision of `owner/name[@revision]`."""
    match = _ID.fullmatch(text)
    assert match, text
    return match["repository"], match["revision"]


def file(repository: str, name: str, revision: str | None, offline: bool) -> Path | None:
    """A file of a repository, from the cache or (not offline) by download; None if absent.

    Raises InputError for an id no repository can have, GeoAwareError where it cannot be fetched.
    """
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(repository, name, revision=revision, local_files_only=offline))
    except errors.HFValidationError as error:
        raise InputError(f"{repository}: not a Hugging Face id: {first_line(error)}") from None
    except errors.LocalEntryNotFoundError:
        if offline:
            return None
        raise UnreachableError(
            f"{repository}: not in the Hugging Face cache, and the Hub cannot be reached; "
            "check the connection"
        ) from None
    except errors.GatedRepoError:
        raise GatedError(
            f"{repository}: accept its licence on https://huggingface.co/{repository}, then set "
            "HF_TOKEN to an access token of your account"
        ) from None
    except errors.RevisionNotFoundError:
        raise GeoAwareError(f"{repository}: has no revision {revision!r}") from None
    except errors.RepositoryNotFoundError:
        raise GeoAwareError(
            f"{repository}: no such Hugging Face repository; it may have moved, or be private "
            "(then set HF_TOKEN)"
        ) from None
    except errors.EntryNotFoundError:
        return None
    except Exception as error:  # a download fails in as many ways as there are layers below it
        raise GeoAwareError(f"{repository}: {name} cannot be had: {first_line(error)}") from None
