"""`georun doctor`: what is installed, what is missing, and how to get it."""

from __future__ import annotations

from typing import Any

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Show versions, devices and bundles, and what is missing.

    Exits 1 when the bundle that ships with the package cannot be used.
    """
    import json

    from ..doctor import examine

    findings = examine()
    if as_json:
        click.echo(json.dumps(findings.as_json()))
    else:
        _print(findings)
    if not findings.healthy:
        raise SystemExit(1)


def _print(findings: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for title, rows in findings.sections():
        table = Table(title=title, title_justify="left", show_header=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in rows:
            table.add_row(name, value)
        console.print(table)
