"""`geotrain presets`."""

from __future__ import annotations

import click


@click.command()
@click.argument("name", required=False)
@click.option("--keys", is_flag=True, help="Every setting: its default and what it means.")
def presets(name: str | None, keys: bool) -> None:
    """List the settings of `geotrain head` that ship, or print those of NAME as YAML.

    What is printed is complete, with every default: copy it, change it, and give it to --config.
    """
    from ...runtime.cli.console import print_rows
    from .. import configuration
    from ..settings import HeadSettings

    if keys:
        rows = configuration.keys(HeadSettings)
        print_rows("settings of geotrain head", ("key", "default", "meaning"), rows)
    elif name is None:
        for each in configuration.presets():
            click.echo(each)
    else:
        import yaml

        found = configuration.settled(HeadSettings, configuration.preset(name), (), name)
        content = found.model_dump(mode="json", by_alias=True, exclude_none=True)
        click.echo(yaml.safe_dump(content, sort_keys=False), nl=False)
