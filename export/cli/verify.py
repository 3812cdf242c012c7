"""`geoexport verify`."""

from __future__ import annotations

import click

from .progress import reporting, require_extra
from .sources import by_part, moved_weights_option


@click.command()
@click.argument("bundle")
@moved_weights_option
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def verify(bundle: str, sources: tuple[str, ...], as_json: bool) -> None:
    """Check BUNDLE's files, engines too, then compare its models with PyTorch again.

    Exits 1 if they differ.
    """
    require_extra()
    from ...runtime.bundle import Bundle
    from ..build import reverify
    from .manifest_table import describe

    opened = Bundle.open(bundle).verified()
    for record in opened.manifest.engines:
        opened.verify_engine(record)
    with reporting() as report:
        parity = reverify(opened, by_part(sources), report)
    click.echo(parity.model_dump_json() if as_json else f"{opened.path}: {describe(parity)}")
