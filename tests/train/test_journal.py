"""The journal of a run: what is in it, after kills too, and what TensorBoard is given of it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from geoaware.runtime.errors import GeoAwareError, InputError
from geoaware.runtime.machine import version_of
from geoaware.train.journal import Journal, read_metrics


def journal(folder: Path, steps: range, resume_at: int | None = None) -> None:
    """Write the steps' journal, as a run does."""
    written = Journal(folder, resume_at=resume_at)
    for step in steps:
        written.write(step, loss=1 / step)
    written.close()


def steps(folder: Path) -> list[int]:
    return [row["step"] for row in read_metrics(folder)]


def test_lines_read_back_as_they_were_written(tmp_path: Path):
    written = Journal(tmp_path)
    written.write(1, loss=0.1, learning_rate=1e-5)
    written.write(2, loss=math.inf, learning_rate=2e-5)
    written.write(2, pck=33.333333333333336)
    written.close()
    first, second, third = read_metrics(tmp_path)
    assert (first["step"], first["loss"], first["learning_rate"]) == (1, 0.1, 1e-5)
    assert math.isnan(second["loss"])
    assert third["pck"] == 33.333333333333336
    assert set(third) == {"step", "time", "pck"}
    assert 0 <= first["time"] <= second["time"] <= third["time"]
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)  # no NaN, which is no JSON


def test_a_killed_run_keeps_every_line_and_goes_on(tmp_path: Path):
    program = (
        "import itertools, os, pathlib, signal, sys\n"
        "from geoaware.train import trackers\n"
        "from geoaware.train.journal import Journal\n"
        "trackers.version_of = lambda package: None\n"  # no TensorBoard, which imports torch
        f"journal = Journal(pathlib.Path({str(tmp_path)!r}))\n"
        "for step in range(1, 1001):\n"
        "    journal.write(step, loss=1 / step)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert steps(tmp_path) == list(range(1, 1001))
    before = read_metrics(tmp_path)[899]

    journal(tmp_path, range(901, 951), resume_at=900)
    assert steps(tmp_path) == list(range(1, 951))
    assert read_metrics(tmp_path)[899] == before
    assert read_metrics(tmp_path)[900]["time"] >= before["time"]  # not from 0 again


def test_a_torn_last_line_is_left_out(tmp_path: Path):
    journal(tmp_path, range(1, 4))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "time": 0.0')
    assert steps(tmp_path) == [1, 2, 3]
    journal(tmp_path, range(4, 6), resume_at=3)
    assert steps(tmp_path) == [1, 2, 3, 4, 5]


def test_a_line_damaged_before_the_last_is_named(tmp_path: Path):
    journal(tmp_path, range(1, 4))
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text().replace('"step": 2', '"st'))
    with pytest.raises(GeoAwareError, match=r"metrics.jsonl: line 2 is damaged"):
        read_metrics(tmp_path)


def test_a_new_journal_takes_the_place_of_the_old_one(tmp_path: Path):
    journal(tmp_path, range(1, 9))
    journal(tmp_path, range(1, 3))
    assert steps(tmp_path) == [1, 2]


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"holds no metrics.jsonl"):
        read_metrics(tmp_path)


def test_tensorboard_shows_the_lines_that_count(tmp_path: Path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
    )
    journal(tmp_path, range(1, 9))
    journal(tmp_path, range(6, 8), resume_at=5)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    scalars = events.Scalars("loss")
    assert [event.step for event in scalars] == [1, 2, 3, 4, 5, 6, 7]
    assert [event.value for event in scalars] == pytest.approx([1 / k for k in range(1, 8)])


@pytest.mark.skipif(version_of("wandb") is not None, reason="wandb is installed")
def test_wandb_asked_for_and_missing_is_an_error(tmp_path: Path):
    with pytest.raises(GeoAwareError, match="pip install wandb"):
        Journal(tmp_path, wandb="project")
