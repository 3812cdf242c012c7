"""The `--weights PART=SOURCE` options."""

from __future__ import annotations

import click

moved_weights_option = click.option(
    "--weights",
    "sources",
    multiple=True,
    metavar="PART=SOURCE",
    help="Where the weights are now, if not where they were.",
)


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
