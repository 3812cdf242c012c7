"""`geoexport prove`."""

from __future__ import annotations

import click

from .progress import reporting, require_extra
from .sources import by_part, moved_weights_option


@click.command()
@click.argument("bundle")
@moved_weights_option
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def prove(bundle: str, sources: tuple[str, ...], as_json: bool) -> None:
    """Compare BUNDLE's engines that were built without a GPU with PyTorch, on this GPU.

    Only engines that were proved are ever used. Exits 1 if one differs.
    """
    require_extra()
    from ...runtime.bundle import Bundle
    from ..build import prove as run
    from .manifest_table import print_manifest

    opened = Bundle.open(bundle).verified()
    with reporting() as report:
        proved = run(opened, by_part(sources), report)
    if as_json:
        click.echo(proved.manifest.model_dump_json())
        return
    print_manifest(proved.manifest)
    click.echo(f"proved: {proved.path}")
