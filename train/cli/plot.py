"""`geotrain plot`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("plot")
@click.argument("folders", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--out", metavar="FILE", help="Picture to write: .png, .svg or .pdf (RUN/curves.png)."
)
def plot(folders: tuple[str, ...], out: str | None) -> None:
    """Draw the curves of a RUN, or of several over each other.

    A RUN is the folder that `geotrain head` or `geotrain finetune` writes to; it may be running
    still. The validations' PCK, best step marked, the losses and the learning rate are drawn.
    """
    if not out and len(folders) > 1:
        raise click.UsageError("name the picture of several runs with --out FILE.png")
    from ...runtime.doctor import install_command
    from ...runtime.errors import GeoAwareError
    from ...runtime.machine import version_of

    if not version_of("matplotlib"):
        raise GeoAwareError(f"drawing curves needs matplotlib: {install_command('eval')}")
    from ..plot import draw, read_runs

    runs = read_runs([Path(folder) for folder in folders])
    picture = Path(out) if out else Path(folders[0]) / "curves.png"
    draw(runs, picture)
    click.echo(f"drawn: {picture}")
