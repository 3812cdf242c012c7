"""Checkpoints in several files: an index names the file of every tensor."""

from __future__ import annotations

import json
from pathlib import Path

from ..runtime.errors import GeoAwareError, first_line

INDEX = ".index.json"


def shards(path: Path) -> list[str]:
    """The names of the files, beside it, that an index of shards lists; none for other files.

    Raises GeoAwareError for an index that is none, or that names a file elsewhere.
    """
    if not path.name.endswith(INDEX):
        return []
    try:
        names = sorted(set(json.loads(path.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise GeoAwareError(f"{path}: no index of shards: {first_line(error)}") from None
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or name == "..":
            raise GeoAwareError(f"{path}: names {name!r}, which is no file beside it")
    return names
