"""Fine-tuning over a grid of settings: a run each in a folder of its own, and their comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path

from accelerate import Accelerator

from ...runtime.files import replacing
from .. import run_record
from ..checkpoint import write_json
from ..loop import DivergedError
from .comparison import Result, best_of, markdown, result_of
from .material import FinetuneMaterial
from .run import Scores, check_blocks, finetune
from .settings import FinetuneSettings


def combinations(
    settings: FinetuneSettings,
    blocks: Sequence[int],
    learning_rates: Sequence[float],
    temperatures: Sequence[float],
) -> list[FinetuneSettings]:
    """Every combination of the values, one run each; where there are none, the settings' own."""
    fitting = settings.fitting
    return [
        settings.model_copy(
            update={
                "blocks": count,
                "temperature": temperature,
                "fitting": fitting.model_copy(update={"learning_rate": rate}),
            }
        )
        for count, rate, temperature in product(
            blocks or [settings.blocks],
            learning_rates or [fitting.learning_rate],
            temperatures or [settings.temperature],
        )
    ]


def sweep(
    runs: Sequence[FinetuneSettings],
    material: FinetuneMaterial,
    folder: Path,
    devices: Callable[[], Accelerator],
    *,
    wandb: str | None = None,
    command: str = "",
) -> Iterator[Result]:
    """Run after run, yield what it came to; finished ones are kept, interrupted ones gone on with.

    A run whose loss is not finite any more has ended, too. After every run `sweep.json` and
    `sweep.md` compare those that are done. devices: those of one run.

    Raises what `finetune` raises; before the first run where a number of blocks does not fit.
    """
    before: Scores | None = None
    results: list[Result] = []
    chosen = [material.settled(settings) for settings in runs]
    check_blocks(chosen, material)
    for settled in chosen:
        place, own = folder / _name(settled), devices()
        resume = (place / run_record.NAME).exists()
        if own.is_main_process:
            run_record.check(place, resume)
        diverged = False
        try:
            before = finetune(
                settled,
                material,
                place,
                own,
                resume=resume,
                wandb=wandb,
                command=command,
                before=before,
            )
        except DivergedError:
            if own.num_processes > 1:  # the others wait for this one in vain
                raise
            diverged = True
            before = run_record.read(place)["before"]
        if own.is_main_process:
            results.append(result_of(place, diverged))
            _write(folder, material, settled, results)
            yield results[-1]


def _write(
    folder: Path, material: FinetuneMaterial, settings: FinetuneSettings, results: Sequence[Result]
) -> None:
    validation = settings.validation
    measured = run_record.measured(run_record.read(folder / results[0].run))
    title = f"{material.recipe.name} on {settings.data.dataset}: {measured} in percent"
    best = best_of(results)
    content = {
        "recipe": material.recipe.name,
        "dataset": settings.data.dataset,
        "alpha": validation.alpha,
        "runs": [asdict(each) for each in results],
        "best": best and best.run,
    }
    write_json(folder / "sweep.json", content)
    with replacing(folder / "sweep.md") as file:
        file.write(markdown(title, results).encode())


def _name(settings: FinetuneSettings) -> str:
    rate = settings.fitting.learning_rate
    return f"blocks-{settings.blocks}_lr-{rate:g}_t-{settings.temperature:.4g}"
