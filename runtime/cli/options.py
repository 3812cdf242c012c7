"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..engines import Device
    from ..engines.choice import Choice
    from ..pipeline import Pipeline

Command = TypeVar("Command", bound=Callable[..., Any])

bundle_option = click.option(
    "--bundle", metavar="NAME|DIR", help="Bundle to use (the lite that ships)."
)
device_option = click.option(
    "--device",
    "--engine",
    type=click.Choice(
        [
            "auto",
            "cpu",
            "openvino",
            "openvino-bf16",
            "cuda",
            "onnxruntime-tensorrt",
            "tensorrt",
            "tensorrt-rtx",
        ]
    ),
    default="auto",
    show_default=True,
    help="What runs the models.",
)


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, shown in this order."""
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


def chosen_device(device: Device, bundles: Sequence[Bundle]) -> Device:
    """The device that these bundles run on, said on stderr where `auto` chose it.

    It stays `auto` where that chooses differently for each. Raises GeoAwareError where a bundle
    cannot run on the device asked for.
    """
    from ..engines.choice import choose

    choices = [choose(device, bundle) for bundle in bundles]
    if device == "auto":
        for bundle, choice in zip(bundles, choices, strict=True):
            _announce(choice, f" for {bundle.manifest.name}" if len(bundles) > 1 else "")
    chosen = {choice.device for choice in choices}
    return chosen.pop() if len(chosen) == 1 else device


def _announce(choice: Choice, what: str = "") -> None:
    reasons = "".join(f"; {reason}" for reason in choice.passed_over)
    click.echo(f"device: {choice.device}{what} (chosen by auto{reasons})", err=True)


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
    pipeline = Pipeline(bundle, device)
    if device == "auto":
        _announce(pipeline.choice)
    return pipeline
