"""The command that is running, as it could be typed again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
from click.core import ParameterSource


def typed() -> str:
    """The current command with the arguments and options that were given."""
    context = click.get_current_context()
    program = context.find_root().command.name
    return shlex.join([str(program), str(context.info_name), *_words(context)])


def _words(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        name = str(parameter.name)
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(parameter, click.Option):
                yield parameter.opts[0]
            if each is not True:
                yield str(each)
