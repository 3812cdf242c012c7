"""Ctrl-C while TensorRT builds: it swallows what its callbacks raise."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def interruptible(module: Any, config: Any) -> Iterator[None]:
    """Stop a build with this configuration at SIGINT, and raise KeyboardInterrupt after it.

    Signals reach the main thread alone; a build in another one is not stopped.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = threading.Event()

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            pass

        def step_complete(self, name: str, step: int) -> bool:
            return not asked.is_set()

        def phase_finish(self, name: str) -> None:
            pass

    def ask(_: int, __: FrameType | None) -> None:
        asked.set()

    config.progress_monitor = monitor = Monitor()
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        config.progress_monitor = None
        del monitor
    if asked.is_set():
        raise KeyboardInterrupt
