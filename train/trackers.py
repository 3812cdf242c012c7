"""Where a run's numbers are shown beside its own journal: TensorBoard, Weights & Biases."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ..runtime.errors import GeoAwareError, first_line
from ..runtime.machine import version_of

FLUSH_SECONDS = 30


class Tracker(Protocol):
    """Who is told a run's numbers."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step."""

    def close(self) -> None:
        """Write what is not written yet."""


def trackers(folder: Path, wandb: str | None, resume_at: int | None) -> list[Tracker]:
    """TensorBoard where it is installed, Weights & Biases where a project is named.

    resume_at: the last step that counts of an interrupted run, None for a new one.
    """
    found: list[Tracker] = []
    if version_of("tensorboard"):
        found.append(TensorBoard(folder, 0 if resume_at is None else resume_at + 1))
    if wandb:
        found.append(WeightsAndBiases(folder, wandb, resumed=resume_at is not None))
    return found


def check_wandb() -> None:
    """Raise GeoAwareError where wandb is missing, before a run has cost anything."""
    # Asked of the metadata: wandb's own folder of runs, named wandb, would import as a namespace.
    if not version_of("wandb"):
        raise GeoAwareError("--wandb needs wandb: pip install wandb")


class TensorBoard:
    """Event files in the folder `tensorboard` of a run."""

    def __init__(self, folder: Path, first: int) -> None:
        """first: events of this step and later ones, of before, are hidden."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(
            str(folder / "tensorboard"), purge_step=first, flush_secs=FLUSH_SECONDS
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the numbers of a step, each under its name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is not written yet."""
        self._writer.close()


class WeightsAndBiases:
    """A run in a project of Weights & Biases, whose files lie in the folder `wandb` of a run.

    An interrupted run goes on under the id it had. Steps that it repeats are not taken a second
    time: there, steps only rise.
    """

    def __init__(self, folder: Path, project: str, resumed: bool) -> None:
        """Raises GeoAwareError where wandb is missing, or no run can begin."""
        check_wandb()
        import wandb

        known = folder / "wandb-id.txt"
        if not (resumed and known.exists()):
            known.write_text(secrets.token_hex(8) + "\n", "utf-8")
        try:
            self._run = wandb.init(
                project=project,
                name=folder.resolve().name,
                id=known.read_text("utf-8").strip(),
                resume="allow",
                dir=str(folder),
            )
        except wandb.Error as error:
            raise GeoAwareError(f"wandb: {first_line(error)}") from None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the numbers of a step."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """End the run there."""
        self._run.finish()
