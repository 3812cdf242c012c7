"""`geoexport show`."""

from __future__ import annotations

import click


@click.command()
@click.argument("bundle")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def show(bundle: str, as_json: bool) -> None:
    """Show what BUNDLE (a name or a folder) is made of."""
    from ...runtime.bundle import Bundle
    from .manifest_table import print_manifest

    opened = Bundle.open(bundle)
    if as_json:
        click.echo(opened.manifest.model_dump_json())
        return
    print_manifest(opened.manifest)
    click.echo(str(opened.path))
