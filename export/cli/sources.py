"""The options that say where weights come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Option = Callable[[Any], Any]


def weights_option(help_text: str) -> Option:
    """`--weights PART=SOURCE`, several times, as `sources`."""
    return click.option(
        "--weights", "sources", multiple=True, metavar="PART=SOURCE", help=help_text
    )


def random_weights_option(help_text: str) -> Option:
    """`--random-weights SEED`, as `seed`."""
    seeds = click.IntRange(0, 999_999_999)
    return click.option("--random-weights", "seed", type=seeds, metavar="SEED", help=help_text)


moved_weights_option = weights_option("Where the weights are now, if not where they were.")


def by_part(options: tuple[str, ...]) -> dict[str, str]:
    """Sources by the name of the part."""
    sources = {}
    for text in options:
        part, _, source = text.partition("=")
        if not (part and source):
            raise click.UsageError(f"--weights {text!r}: write PART=SOURCE")
        if part in sources:
            raise click.UsageError(f"--weights {part}=… is given twice")
        sources[part] = source
    return sources
