"""How training shows itself while it runs: on stderr, a bar in a terminal, else a line at times."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column

from ..runtime.cli.console import progress as progress_console

AVERAGED = 100  # steps that the loss shown is the mean of


class Progress:
    """Loss, PCK, pairs a second and the time left, from the first step to the last."""

    def __init__(self, title: str, total: int, every: float = 30) -> None:
        """total: steps. every: seconds between lines where stderr is no terminal."""
        self._title, self._total, self._every = title, total, every
        self._console = progress_console()
        self._losses: deque[float] = deque(maxlen=AVERAGED)
        self._step = self._first = self._pairs = 0
        self._began: float | None = None
        self._best: tuple[float, int] | None = None
        self._pck: float | None = None
        self._bar = Bar(
            BarColumn(bar_width=12),
            TextColumn("{task.description}", markup=False, table_column=Column()),  # which folds
            console=self._console,
            disable=not self._console.is_interactive,
            redirect_stdout=False,
            refresh_per_second=2,
        )
        self._task = self._bar.add_task(title, total=total)
        self._shown_at = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        if self._bar.disable and self._step:
            self._print()

    def advance(self, step: int, *, loss: float, pairs: int) -> None:
        """A step is done; its loss, and how many pairs it was made of.

        Of several processes only the one that calls this shows a bar.
        """
        now = time.monotonic()
        if self._began is None:  # speed is counted from here: what came before was loading
            self._began, self._first = now, step
            self._bar.start()
        else:
            self._pairs += pairs
        self._step = step
        self._losses.append(loss)
        self._bar.update(self._task, completed=step, description=self.line())
        if self._bar.disable and now - self._shown_at >= self._every:
            self._print()

    def validated(self, step: int, values: dict[str, float]) -> None:
        """A validation is done; its percentages by name, of which `pck` is shown.

        A run that goes on tells its best one of before first.
        """
        self._pck = values["pck"]
        if self._best is None or self._pck > self._best[0]:
            self._best = self._pck, step
        self._bar.update(self._task, description=self.line())

    def note(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, soft_wrap=True)

    def line(self) -> str:
        """How it stands, in a line; the speed is over all since the first step, validations too."""
        parts = [f"{self._title} {self._step:,}/{self._total:,}"]
        if self._losses:
            parts.append(f"loss {sum(self._losses) / len(self._losses):.4g}")
        if self._best and self._pck is not None:
            best, at = self._best
            parts.append(f"PCK {self._pck:.1f} (best {best:.1f} at {at:,})")
        if self._pairs and self._began is not None:
            seconds = max(time.monotonic() - self._began, 1e-9)
            left = (self._total - self._step) * seconds / (self._step - self._first)
            parts += [f"{_three_digits(self._pairs / seconds)} pairs/s", f"{_clock(left)} left"]
        return ", ".join(parts)

    def _print(self) -> None:
        self._shown_at = time.monotonic()
        self.note(self.line())


def _three_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
