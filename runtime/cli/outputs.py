"""Values of options that several commands check: thresholds, and folders to write to."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..errors import InputError


def alphas_of(asked: tuple[float, ...]) -> tuple[float, ...]:
    """The thresholds of --alpha, each once, sorted."""
    for alpha in asked:
        if not 0 < alpha <= 10:
            raise click.UsageError(f"--alpha {alpha} must be above 0 and at most 10")
    return tuple(sorted(set(asked)))


def folder_of(out: str | None) -> Path | None:
    """The folder of --out, made where it is missing, once what draws reports is found."""
    from ..evaluation.report import check_installed

    if not out:
        return None
    check_installed()
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder}: may not be written; check its permissions")
    return folder
