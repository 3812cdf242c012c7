"""What is said after a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geoaware.train.cli.summary import print_run


def write_run(folder: Path, seconds: int = 90, skipped: int = 0) -> None:
    settings = {
        "name": "young",
        "recipe": "my cats.yaml",
        "data": {"dataset": "animal-pose"},
        "validation": {"protocol": None, "alpha": 0.1},
    }
    data = {"train_pairs": 7, "val_pairs": 1250, "skipped_pairs": skipped}
    record = {"recipe": {"name": "cats"}, "settings": settings, "data": data}
    record |= {"before": {"pck": 40.4}}
    (folder / "run.json").write_text(json.dumps(record), "utf-8")
    row = {"step": 3, "time": seconds, "pck": 51.2}
    (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n", "utf-8")


def test_the_next_command_names_the_recipe_as_it_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_run(tmp_path)
    print_run(tmp_path)
    said = capsys.readouterr().out
    assert f"geoexport build 'my cats.yaml' --head {tmp_path}" in said.replace("\n", "")
    assert "51.2 at step 3" in said
    assert "40.4" in said


def test_the_table_says_how_it_was_measured_and_what_the_bundle_will_be_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_run(tmp_path, seconds=90)
    print_run(tmp_path)
    said = capsys.readouterr().out
    for fact in ("PCK@0.10 (box, 1,250 pairs)", "1.5 minutes", "7 to learn from ", "cats-young"):
        assert fact in said
    write_run(tmp_path, seconds=42, skipped=3)
    print_run(tmp_path)
    said = capsys.readouterr().out
    for fact in ("42 seconds", "7 to learn from, 3 skipped"):
        assert fact in said
