"""What is said after a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geoaware.train.cli.summary import print_run


def test_the_next_command_names_the_recipe_as_it_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    record = {"recipe": {"name": "cats"}, "settings": {"recipe": "my cats.yaml"}}
    record |= {"data": {"train_pairs": 7}, "before": {"pck": 40.4}}
    (tmp_path / "run.json").write_text(json.dumps(record), "utf-8")
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "time": 60, "pck": 51.2}\n', "utf-8")
    print_run(tmp_path)
    said = capsys.readouterr().out
    assert f"geoexport build 'my cats.yaml' --head {tmp_path}" in said.replace("\n", "")
    assert "51.2 at step 3" in said
    assert "40.4" in said
