"""What training shows of itself on stderr."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from geoaware.train.progress import Progress


def train(progress: Progress) -> None:
    with progress:
        for step in range(501, 505):
            progress.advance(step, loss=step - 500, pairs=8)
            if step % 2 == 0:
                progress.validated(step, {"pck": 542.0 - step, "pck_geometry_aware": 1.0})


def test_without_a_terminal_it_is_a_line_at_times(capsys: pytest.CaptureFixture[str]):
    train(Progress("head [x]", 1000, every=1000))
    shown = capsys.readouterr()
    assert shown.out == ""
    [last] = shown.err.splitlines()
    assert last.startswith("head [x] 504/1,000, loss 2.5, PCK 38.0 (best 40.0 at 502), ")
    assert re.search(r", [\d,.]+ pairs/s, \d:\d\d left$", last)

    train(Progress("head", 1000, every=0))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines[:4]] == [f"{k}/1,000," for k in range(501, 505)]
    assert "pairs/s" not in lines[0]  # nothing is known of the speed yet


def test_time_left_counts_the_steps_of_this_session(monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr("geoaware.train.progress.time.monotonic", lambda: now)
    progress = Progress("head", 20_000)
    for step in (10_001, 10_101):
        progress.advance(step, loss=1, pairs=4)
        now += 50
    assert progress.line().endswith("0.04 pairs/s, 2:44:59 left")


def test_notes_are_shown_at_once_and_as_they_are(capsys: pytest.CaptureFixture[str]):
    line = "[bold]without a head[/bold]: " + "pck 33.3 " * 30
    with Progress("head", 10) as progress:
        progress.note(line)
        assert capsys.readouterr().err == line + "\n"
    assert capsys.readouterr().err == ""


def test_in_a_terminal_it_is_a_bar_and_stdout_stays_free():
    program = (
        "from geoaware.train.progress import Progress\n"
        "with Progress('head', 2) as progress:\n"
        "    for step in (1, 2):\n"
        "        progress.advance(step, loss=0.5, pairs=1)\n"
        "        print('a result')\n"
        "    progress.validated(2, {'pck': 42.0})\n"
    )
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE, stderr=theirs, text=True, check=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )  # fmt: skip
        os.close(theirs)
        shown = os.read(ours, 100_000).decode()
    finally:
        os.close(ours)
    assert done.stdout == "a result\na result\n"
    assert "━" in shown
    assert "head 2/2, loss 0.5, PCK 42.0 (best 42.0 at 2)" in shown
