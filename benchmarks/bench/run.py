"""A run: suites one after the other, written to the machine's result file after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from geoaware.runtime.engines import HOST
from geoaware.runtime.engines.choice import choose
from geoaware.runtime.errors import GeoAwareError, InputError

from . import provenance
from .machine import COPY, PRODUCT
from .rows import SUITES, Row, Run, Suite, append, now, prepare
from .settings import Settings, Watch
from .threads import limited

Rows = Callable[[Settings, Watch], Iterator[Row]]


@dataclass(frozen=True)
class Measured:
    """A run with the file it was written to, and the suites that failed."""

    run: Run
    path: Path
    failures: Mapping[Suite, GeoAwareError]


def suites(names: Sequence[str] = ()) -> dict[Suite, Rows]:
    """Suites by name, all where none is named: the machine first, whose figures the others need.

    Raises InputError for a name that is none of a suite.
    """
    for name in names:
        if name not in SUITES:
            raise InputError(f"no suite {name!r}; use {', '.join(SUITES)}")
    asked = {"machine", *(names or SUITES)}
    return {name: import_module(f".{name}", __package__).rows for name in SUITES if name in asked}


def measure(
    suites: Mapping[Suite, Rows], settings: Settings, watch: Watch, folder: Path, command: str
) -> Measured:
    """Run suites and write what they measured to the folder's file of this machine and day.

    The file is written after every suite, also after one that fails or is interrupted. A suite
    that fails is noted, and the next one begins.

    command: how the run was asked for, as it could be typed again.

    Raises InputError or GeoAwareError where the file cannot be written, before anything is
    measured.
    """
    run = Run(
        command=command,
        date=now(),
        commit=provenance.commit(),
        hardware=provenance.hardware(),
        versions=provenance.versions(),
        threads=settings.threads,
        rows=(),
    )
    path = prepare(folder, run)
    failures: dict[Suite, GeoAwareError] = {}
    with limited(settings.threads):
        for name, rows in suites.items():
            measured: list[Row] = []
            try:
                measured.extend(rows(settings, watch))  # keeps those before a failure
                measured = _over_floors(measured, run.rows, settings, watch)
            except GeoAwareError as error:
                failures[name] = error
                watch.note(f"{name} failed: {error}")
            except KeyboardInterrupt:
                if run.rows or measured:
                    watch.note(f"what is measured is kept in {path}")
                raise
            finally:
                run = run.model_copy(update={"rows": (*run.rows, *measured)})
                if run.rows:
                    append(folder, run)
    return Measured(run, path, failures)


def _over_floors(
    rows: list[Row], before: Sequence[Row], settings: Settings, watch: Watch
) -> list[Row]:
    """Rows with the least that they can take, by the rates of the machine measured before.

    Those are the processor's: where models run on a GPU, there is no floor.
    """
    machine = [row for row in before if row.case.get("what") in (PRODUCT, COPY)]
    on_gpu = settings.device not in ("auto", *HOST) or choose(settings.device).device not in HOST
    if not machine or on_gpu:
        return rows
    from .floors import with_floors

    return with_floors(rows, machine, watch)
