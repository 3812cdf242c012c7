"""`geotrain presets`."""

from __future__ import annotations

import click


@click.command()
@click.argument("name", required=False)
@click.option("--keys", is_flag=True, help="Every setting: its default and what it means.")
def presets(name: str | None, keys: bool) -> None:
    """List the settings that ship, or print those of NAME.

    They are for `geotrain head`, in YAML, and complete, with every default: copy them, change them,
    and give them to --config. --keys explains those of `geotrain finetune`, too.
    """
    from ...runtime.cli.console import print_rows
    from .. import configuration
    from ..settings import HeadSettings

    if keys:
        from ..finetuning.settings import FinetuneSettings

        columns = ("key", "default", "meaning")
        for command, schema in (("head", HeadSettings), ("finetune", FinetuneSettings)):
            print_rows(f"settings of geotrain {command}", columns, configuration.keys(schema))
    elif name is None:
        for each in configuration.presets():
            click.echo(each)
    else:
        import yaml

        found = configuration.settled(HeadSettings, configuration.preset(name), (), name)
        content = found.model_dump(mode="json", by_alias=True, exclude_none=True)
        click.echo(yaml.safe_dump(content, sort_keys=False), nl=False)
