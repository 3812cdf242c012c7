"""What a run came to, and what to do with it."""

from __future__ import annotations

import shlex
from pathlib import Path

from ...runtime.cli.console import print_facts, print_line
from .. import run_record
from ..journal import read_metrics


def print_run(folder: Path) -> None:
    """Print a finished run's validations and the commands that come next."""
    record, rows = run_record.read(folder), read_metrics(folder)
    validations = [row for row in rows if "pck" in row]
    best, last = max(validations, key=lambda row: row["pck"]), validations[-1]
    data, settings = record["data"], record["settings"]
    skipped = f", {data['skipped_pairs']:,} skipped" if data["skipped_pairs"] else ""
    facts = [
        ("steps", f"{last['step']:,}"),
        ("took", duration(rows[-1]["time"])),
        ("pairs", f"{data['train_pairs']:,} to learn from{skipped}"),
        ("measured", run_record.measured(record)),
        ("PCK without a head", f"{record['before']['pck']:.1f}"),
        ("best PCK", f"{best['pck']:.1f} at step {best['step']:,}"),
        ("last PCK", f"{last['pck']:.1f}"),
        ("bundle's name", f"{record['recipe']['name']}-{settings['name']}"),
    ]
    print_facts(str(folder), facts)
    recipe, place = shlex.quote(settings["recipe"]), shlex.quote(str(folder))
    print_line(f"next: geoexport build {recipe} --head {place}")


def duration(seconds: float) -> str:
    """A run's time: in minutes, in seconds where it is less than one."""
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"
