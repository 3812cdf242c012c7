"""`georun doctor`: what is installed, what is missing, and how to get it."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Show versions, devices and bundles, and what is missing.

    Exits 1 when the bundle that ships with the package cannot be used.
    """
    import json

    from ..doctor import examine
    from .console import print_facts

    findings = examine()
    if as_json:
        click.echo(json.dumps(findings.as_json()))
    else:
        for title, facts in findings.sections():
            print_facts(title, facts)
    if not findings.healthy:
        raise SystemExit(1)
