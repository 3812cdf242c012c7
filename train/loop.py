"""The loop: steps of an optimiser, validations, checkpoints; on one device or on several."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler, OneCycleLR

from ..runtime.errors import GeoAwareError, InputError, first_line
from . import checkpoint, run_record
from .checkpoint import Best, Checkpoint, write_json, write_tensors
from .journal import Journal
from .memory import memory_errors
from .progress import Progress
from .settings import Fitting

BEST, LAST = "best.safetensors", "last.safetensors"
LOWEST_RATE = 1e-6  # where the cosine schedule ends

# One process extracts features and validates while the others wait for it.
PATIENCE = timedelta(days=1)

_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


class DivergedError(GeoAwareError):
    """A loss, a gradient or what was learnt is not finite any more."""


class Batch(Protocol):
    """One process's share of a step."""

    def tensors(self) -> dict[str, Tensor]:
        """All of it, by name: what is kept where it made a loss that is not finite."""


class Task(Protocol):
    """What is fitted: a head, or a backbone.

    objective: maps a batch to the loss, a scalar, and its terms by name.
    """

    objective: nn.Module

    def batch(self, step: int, rank: int, world: int) -> Batch:
        """This process's share of a step, on its device: a function of seed and step alone."""

    def pairs(self, step: int) -> int:
        """How many pairs a step is made of, over all processes."""

    def validate(self) -> dict[str, float]:
        """Percentages by name; `pck` decides which step is best."""

    def weights(self) -> dict[str, Tensor]:
        """What is kept of the best step and of the last one."""

    def describe(self, step: int) -> dict[str, Any]:
        """What a step's batch is made of, for JSON."""


def accelerator(fitting: Fitting, device: str) -> Accelerator:
    """The devices and processes of a run: `auto`, `cpu` or `cuda`; several under torchrun.

    Raises InputError for a GPU that is not there, and for a precision that the device has not.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no GPU; leave --device out to use the CPU")
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if on_cpu and fitting.precision == "fp16":
        raise InputError(
            "fitting.precision fp16 is for GPUs; take fp32, or bf16 where a CPU has it"
        )
    try:
        return Accelerator(
            cpu=on_cpu,
            mixed_precision=_PRECISIONS[fitting.precision],
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
    except ValueError as error:
        raise InputError(f"fitting.precision {fitting.precision}: {first_line(error)}") from None


@memory_errors()
def fit(
    task: Task,
    fitting: Fitting,
    folder: Path,
    settings: Mapping[str, Any],
    devices: Accelerator,
    progress: Progress,
    *,
    validate_every: int,
    resume: bool = False,
    wandb: str | None = None,
) -> None:
    """Fit a task's objective.

    settings: what the run was asked for, as JSON; a checkpoint of other settings is refused.
    The folder gets `metrics.jsonl`, `best.safetensors`, `last.safetensors` and the checkpoint. With
    `resume` a run goes on from its checkpoint, to the numbers it would have had uninterrupted.

    Raises InputError for a checkpoint that cannot be gone on with, GeoAwareError where memory is
    short, DivergedError where a loss is not finite; then `not_finite.json` and `.safetensors` hold
    the batch that caused it, of several processes `not_finite-<rank>.safetensors` each its share.
    """
    optimiser = AdamW(
        [each for each in task.objective.parameters() if each.requires_grad],
        lr=fitting.learning_rate,
        weight_decay=fitting.weight_decay,
    )
    schedule = _schedule(optimiser, fitting)
    done, best = _begin(task, optimiser, schedule, devices, folder, settings, resume)
    _check_all_begin_there(done, folder, devices)
    objective, prepared = devices.prepare(task.objective, optimiser)
    with ExitStack() as ending:
        keeper = None
        if devices.is_main_process:
            journal = Journal(folder, wandb=wandb, resume_at=done if resume else None)
            ending.enter_context(closing(journal))
            keeper = _Keeper(task, folder, journal, progress, done, best)
            if resume:
                progress.note(_resumed(done, fitting.steps))
            ending.enter_context(keeper.telling_of_interruptions())
        for step, batch in _batches(task, done, fitting.steps, devices):
            objective.train()
            torch.manual_seed(_seed(fitting.seed, step, devices.process_index))
            with devices.autocast():
                loss, terms = objective(batch)
            # Of all processes: where one has a loss that is not finite, none waits for it in vain.
            values = devices.reduce({"loss": loss.detach(), **terms}, "mean")
            _check(values["loss"], task, step, folder, batch, devices)
            devices.backward(loss)
            norm = devices.clip_grad_norm_(objective.parameters(), fitting.clip)
            # With fp16 the scaler leaves such a step out, and halves its scale: in vain, below 1.
            if devices.scaler is None or devices.scaler.get_scale() < 1:
                _check(norm, task, step, folder, batch, devices)
            rate = schedule.get_last_lr()[0]
            prepared.step()
            prepared.zero_grad()
            schedule.step()

            number = step + 1
            last = number == fitting.steps
            if keeper:
                keeper.write(number, {name: value.item() for name, value in values.items()}, rate)
                if last or number % validate_every == 0:
                    _validate(keeper, task, step, folder, batch, devices)
                if last or number % fitting.checkpoint_every == 0:
                    keeper.save(number, optimiser, devices, settings)
            devices.wait_for_everyone()


class _Keeper:
    """What one process does for all: it writes down, validates and saves."""

    def __init__(
        self,
        task: Task,
        folder: Path,
        journal: Journal,
        progress: Progress,
        done: int,
        best: Best | None,
    ) -> None:
        self._task, self._folder = task, folder
        self._journal, self._progress = journal, progress
        self._done = self._saved = done
        self._best = best
        if best:
            progress.validated(best.step, {"pck": best.pck})

    @contextmanager
    def telling_of_interruptions(self) -> Iterator[None]:
        """Say how far the run came where it is interrupted in here, and where it would go on."""
        try:
            yield
        except KeyboardInterrupt:
            place = f"step {self._saved:,}" if self._saved else "its beginning"
            self._progress.note(
                f"interrupted after step {self._done:,}; --resume (of a sweep: the same command) "
                f"goes on from the last checkpoint, {place}"
            )
            raise

    def write(self, number: int, values: Mapping[str, float], rate: float) -> None:
        pairs = self._task.pairs(number - 1)
        self._progress.advance(number, loss=values["loss"], pairs=pairs)
        self._journal.write(number, learning_rate=rate, **values)
        self._done = number

    def validate(self, number: int) -> None:
        self._task.objective.eval()
        with torch.inference_mode():
            found = self._task.validate()
        self._progress.validated(number, found)
        self._journal.write(number, **found)
        if self._best is None or found["pck"] > self._best.pck:
            self._best = Best(number, found["pck"])
            write_tensors(self._folder / BEST, self._task.weights())

    def save(
        self,
        number: int,
        optimiser: Optimizer,
        devices: Accelerator,
        settings: Mapping[str, Any],
    ) -> None:
        write_tensors(self._folder / LAST, self._task.weights())
        state = Checkpoint(
            step=number,
            module=self._task.objective.state_dict(),
            optimiser=optimiser.state_dict(),
            scaler=devices.scaler and devices.scaler.state_dict(),
            best=self._best,
            settings=settings,
        )
        checkpoint.write(self._folder, state)
        self._saved = number


def _batches(task: Task, first: int, end: int, devices: Accelerator) -> Iterator[tuple[int, Batch]]:
    """Steps and their batches; the next one is read while this one is computed."""
    place = devices.process_index, devices.num_processes
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(task.batch, first, *place) if first < end else None
        for step in range(first, end):
            batch = coming.result()
            if step + 1 < end:
                coming = reader.submit(task.batch, step + 1, *place)
            yield step, batch


def _schedule(optimiser: Optimizer, fitting: Fitting) -> LRScheduler:
    if fitting.schedule == "one-cycle":
        return OneCycleLR(
            optimiser,
            max_lr=fitting.learning_rate,
            total_steps=fitting.steps + 1,
            pct_start=fitting.warm_up,
        )
    if fitting.schedule == "cosine":
        return CosineAnnealingLR(optimiser, T_max=fitting.steps, eta_min=LOWEST_RATE)
    return ConstantLR(optimiser, factor=1)


def _begin(
    task: Task,
    optimiser: Optimizer,
    schedule: LRScheduler,
    devices: Accelerator,
    folder: Path,
    settings: Mapping[str, Any],
    resume: bool,
) -> tuple[int, Best | None]:
    """Where a run begins: after how many steps, and with which best validation so far."""
    state = checkpoint.read(folder) if resume else None
    if state is None:
        return 0, None
    run_record.check_same(folder, "settings", state.settings, settings)
    task.objective.load_state_dict(state.module)
    optimiser.load_state_dict(dict(state.optimiser))
    schedule.load_state_dict({"last_epoch": state.step, "_step_count": state.step + 1})
    if devices.scaler and state.scaler:
        devices.scaler.load_state_dict(dict(state.scaler))
    schedule._last_lr = [group["lr"] for group in optimiser.param_groups]
    return state.step, state.best


def _check_all_begin_there(done: int, folder: Path, devices: Accelerator) -> None:
    """Raise InputError where a machine does not see the checkpoint that another goes on from."""
    begins = devices.gather(torch.tensor([done], device=devices.device))
    if (begins != done).any():
        raise InputError(f"{folder}: not all processes find the checkpoint; share the folder")


def _resumed(done: int, steps: int) -> str:
    if not done:
        return "no checkpoint yet: beginning anew"
    if done == steps:
        return f"finished already: all {steps:,} steps are done"
    return f"going on from step {done:,}"


def _validate(
    keeper: _Keeper, task: Task, step: int, folder: Path, batch: Batch, devices: Accelerator
) -> None:
    """Validate; where that fails for what the step made of the weights, stop as for its loss."""
    try:
        keeper.validate(step + 1)
    except GeoAwareError:
        with torch.inference_mode(), devices.autocast():
            loss, _ = task.objective(batch)
        _check(loss, task, step, folder, batch, devices)
        raise


def _check(
    value: Tensor, task: Task, step: int, folder: Path, batch: Batch, devices: Accelerator
) -> None:
    """Stop where a loss or a gradient is not finite, with what caused it kept."""
    if torch.isfinite(value).all():
        return
    write_json(folder / "not_finite.json", {"step": step + 1, "batch": task.describe(step)})
    rank = f"-{devices.process_index}" if devices.num_processes > 1 else ""
    tensors = folder / f"not_finite{rank}.safetensors"
    write_tensors(tensors, batch.tensors())
    raise DivergedError(
        f"step {step + 1}: loss or gradient is not finite; {folder / 'not_finite.json'} and "
        f"{tensors.name} hold its batch; a lower fitting.learning_rate may help"
    )


def _seed(seed: int, step: int, rank: int) -> int:
    """Of everything random in a step, so that an interrupted run goes on as it would have."""
    digest = hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
