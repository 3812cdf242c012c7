"""The options that say how points are found, and what they make of a recipe's own way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .options import together

if TYPE_CHECKING:
    from ..recipe import Matching

method_options = together(
    click.option(
        "--method", type=click.Choice(["argmax", "softargmax"]), help="Way to find (the recipe's)."
    ),
    click.option("--window", type=int, help="softargmax: cells beside (zeroed), across (cropped)."),
    click.option("--temperature", type=float, help="softargmax: divides the similarities."),
    click.option(
        "--variant", type=click.Choice(["zeroed", "cropped"]), help="softargmax: what lies outside."
    ),
)


def chosen_matching(own: Matching, asked: dict[str, Any]) -> Matching:
    """The recipe's way to match with what the user asked for instead."""
    from pydantic import ValidationError

    from ..errors import InputError, first_problem

    given = {name: value for name, value in asked.items() if value is not None}
    base = {} if given.get("method") == "argmax" else own.model_dump(exclude_none=True)
    if "variant" in given and given["variant"] != own.variant and "window" not in given:
        raise InputError(f"--variant {given['variant']} needs --window, which it gives a meaning")
    try:
        return type(own).model_validate(base | given)
    except ValidationError as error:
        raise InputError(first_problem(error)) from None
