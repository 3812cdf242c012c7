"""Result files: numbers with the hardware, versions, command and date they belong to."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from geoaware.bench.provenance import commit
from geoaware.runtime.machine import hardware, versions

RESULTS = Path(__file__).parent / "results"


def save(name: str, command: str, packages: tuple[str, ...], results: dict[str, Any]) -> Path:
    """Write `results/<name>.json` and return its path."""
    content = {
        "command": command,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "hardware": hardware(),
        "versions": versions(packages),
        "results": results,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return path
