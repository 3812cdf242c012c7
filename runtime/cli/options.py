"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..engines import Device
    from ..pipeline import Pipeline

Command = TypeVar("Command", bound=Callable[..., Any])

bundle_option = click.option(
    "--bundle", metavar="NAME|DIR", help="Bundle to use (the lite that ships)."
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]),
    default="auto",
    show_default=True,
)


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, shown in this order."""
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


def chosen_device(device: Device) -> Device:
    """The device to run on, said on stderr where `auto` chose it."""
    from ..engines import choose_device

    chosen = choose_device(device)
    if device == "auto":
        click.echo(f"device: {chosen} (chosen by auto)", err=True)
    return chosen


def opened_bundles(names: Sequence[str]) -> tuple[Bundle, ...]:
    """The bundles of these names, or the one that ships; random weights are said on stderr."""
    from ..bundle import Bundle

    bundles = tuple(Bundle.open(name) for name in names or (None,))
    for bundle in bundles:
        _warn_of_random_weights(bundle)
    return bundles


def _warn_of_random_weights(bundle: Bundle) -> None:
    if bundle.manifest.is_random:
        name = bundle.manifest.name
        click.echo(f"warning: {name} has random weights: what it finds means nothing", err=True)


def load_pipeline(bundle: Bundle, device: Device) -> Pipeline:
    """Load a bundle's models, and say on stderr which device `auto` chose."""
    from ..pipeline import Pipeline

    _warn_of_random_weights(bundle)
    return Pipeline(bundle, chosen_device(device))
