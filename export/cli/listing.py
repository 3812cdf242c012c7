"""`geoexport list`."""

from __future__ import annotations

import json

import click

from .progress import require_extra


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the recipes, whether their weights are at hand, and the bundles that are built."""
    require_extra()
    from rich.console import Console
    from rich.table import Table

    from ..catalogue import bundles, recipes

    if as_json:
        click.echo(json.dumps({"recipes": list(recipes()), "bundles": list(bundles())}))
        return
    for title, rows in (("recipes", list(recipes())), ("bundles", list(bundles()))):
        table = Table(title=title, title_justify="left")
        for name in rows[0]:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*map(str, row.values()))
        Console().print(table)
