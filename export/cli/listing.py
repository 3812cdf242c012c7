"""`geoexport list`."""

from __future__ import annotations

import json

import click

from .progress import require_extra


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the recipes, the parts they need weights for, and the bundles that are built.

    Size and memory are those of the bundle in fp32, and of extracting an image's features with it.
    """
    require_extra()
    from ...runtime.cli.console import print_rows
    from ..catalogue import bundles, parts, recipes

    needed = list(parts())
    tables = {"recipes": list(recipes(needed)), "parts": needed, "bundles": list(bundles())}
    if as_json:
        click.echo(json.dumps(tables))
        return
    for title, rows in tables.items():
        print_rows(title, list(rows[0]), [list(row.values()) for row in rows])
