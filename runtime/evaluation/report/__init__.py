"""What an evaluation leaves behind: results.json, CSV files, and a report to read."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ...doctor import install_command
from ...errors import GeoAwareError
from ...files import replacing
from ..outcome import Outcome
from ..results import Results

RESULTS = "results.json"


def check_installed() -> None:
    """Raise GeoAwareError where a package that reports need is missing."""
    missing = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if missing:
        raise GeoAwareError(
            f"{' and '.join(missing)} missing, for the report: {install_command('eval')}"
        )


def write(results: Results, outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write per_pair.csv, per_keypoint.csv, report.md, report.html and, last, results.json.

    The folder exists. A results.json in it means that all the others are complete, so one of
    before is removed first. Raises GeoAwareError where a file cannot be written.
    """
    from . import csv_files, html, markdown, run_document

    document = run_document.document(results, outcomes)
    texts = {
        csv_files.PER_PAIR: csv_files.per_pair(results, outcomes),
        csv_files.PER_KEYPOINT: csv_files.per_keypoint(results, outcomes),
        "report.md": markdown.render(document),
        "report.html": html.render(document),
        RESULTS: results.model_dump_json(indent=2) + "\n",
    }
    try:
        (folder / RESULTS).unlink(missing_ok=True)
    except OSError as error:
        raise GeoAwareError(f"{folder / RESULTS}: cannot be replaced: {error.strerror}") from None
    for name, text in texts.items():
        write_text(folder / name, text)


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8; file names that are none are spelt out."""
    with replacing(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
