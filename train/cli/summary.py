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
    facts = [
        ("steps", f"{last['step']:,}"),
        ("minutes", f"{rows[-1]['time'] / 60:.1f}"),
        ("pairs", f"{record['data']['train_pairs']:,} to learn from"),
        ("PCK without a head", f"{record['before']['pck']:.1f}"),
        ("best PCK", f"{best['pck']:.1f} at step {best['step']:,}"),
        ("last PCK", f"{last['pck']:.1f}"),
    ]
    print_facts(str(folder), facts)
    recipe, place = shlex.quote(record["settings"]["recipe"]), shlex.quote(str(folder))
    print_line(f"next: geoexport build {recipe} --head {place}")
