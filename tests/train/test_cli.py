"""The program `geotrain`: its commands, how fast it starts, and what it says where parts lack."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from geoaware.runtime.cli import georun
from geoaware.train.cli import geotrain

COMMANDS = ("extract", "head", "presets", "finetune", "sweep", "plot")


def test_help_is_quick_and_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from geoaware.train.cli import geotrain\n"
        "try:\n"
        "    geotrain(sys.argv[1:])\n"
        "finally:\n"
        "    found = {'torch', 'transformers', 'accelerate', 'matplotlib'} & set(sys.modules)\n"
        "    assert not found, found"
    )
    seconds = []
    for command in ((), *((name,) for name in COMMANDS)):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", program, *command, "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Usage: ")
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 1, seconds


def test_the_group_lists_its_commands():
    shown = CliRunner().invoke(geotrain, ["--help"]).stdout
    for name in COMMANDS:
        assert f"\n  {name} " in shown


def test_no_command_is_cut_short():
    listed = CliRunner().invoke(geotrain, ["--help"]).stdout.partition("Commands:")[2]
    assert "..." not in listed


def test_the_keys_of_both_kinds_of_training_are_explained():
    shown = CliRunner().invoke(geotrain, ["presets", "--keys"]).stdout
    for key in ("losses.noise", "temperature", "settings of geotrain finetune"):
        assert key in shown


def test_the_module_is_the_program(tmp_path: Path):
    command = [sys.executable, "-m", "geoaware.train", "plot", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"geotrain: error: {tmp_path}: holds no metrics.jsonl")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ["head", "--preset", "animalpose-lite"],
        ["extract", "lite", "spair"],
        ["finetune", "dinov2-s", "spair", "--out", "run"],
        ["sweep", "dinov2-s", "spair", "--out", "sweep"],
    ],
    ids=lambda command: command[0],
)
def test_packages_that_are_missing_are_named(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "geoaware.runtime.doctor.requires", lambda package: ['nowhere>=1 ; extra == "train"']
    )
    done = CliRunner().invoke(geotrain, command)
    assert (done.exit_code, done.stderr) == (
        1,
        'geotrain: error: training needs nowhere: pip install "geoaware[train,embedded]"\n',
    )


def test_georun_doctor_says_whether_training_can_be_done():
    findings = json.loads(CliRunner().invoke(georun, ["doctor", "--json"]).stdout)
    assert findings["extras"]["train"] == "ok"
