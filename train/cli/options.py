"""Options that every training takes."""

from __future__ import annotations

import click

device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
wandb_option = click.option("--wandb", metavar="PROJECT", help="Log to Weights & Biases, too.")
