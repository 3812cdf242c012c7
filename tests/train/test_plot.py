"""`geotrain plot`: what is read of a run's journal, and the picture of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from geoaware.runtime.errors import GeoAwareError, InputError
from geoaware.train.cli.plot import plot
from geoaware.train.journal import Journal
from geoaware.train.plot import Curve, draw, read_runs


@pytest.fixture(autouse=True)
def _without_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geoaware.train.trackers.version_of", lambda package: None)


def a_run(folder: Path, best: int, validations: bool = True) -> Path:
    """A run of 40 steps whose PCK rises to 50.5 at a step, and falls after it."""
    folder.mkdir()
    journal = Journal(folder)
    for step in range(1, 41):
        journal.write(step, loss=3 / step, contrastive=2 / step, learning_rate=1e-3 / step)
        if validations and step % 10 == 0:
            pck = 50.5 - abs(step - best) / 10
            journal.write(step, pck=pck, pck_geometry_aware=pck - 10)
    journal.close()
    return folder


def test_the_best_validation_is_found_and_every_number_is_a_curve(tmp_path: Path):
    [run] = read_runs([a_run(tmp_path / "cats", best=30)])
    assert run.name == "cats"
    assert run.best == (30, 50.5)
    assert list(run.curves) == ["loss", "contrastive", "learning_rate", "pck", "pck_geometry_aware"]
    assert run.curves["pck"].steps.tolist() == [10, 20, 30, 40]
    assert run.curves["loss"].values.tolist() == [3 / step for step in range(1, 41)]


def test_the_first_of_equal_validations_is_the_best(tmp_path: Path):
    journal = Journal(tmp_path)
    for step, value in enumerate((40.0, math.nan, 45.0, 45.0), 1):
        journal.write(step, pck=value)
    journal.close()
    assert read_runs([tmp_path])[0].best == (3, 45.0)


def test_smoothing_is_the_mean_of_the_neighbours_that_there_are():
    values = np.full(200, 2.0)  # a mean over 5
    values[100] = 7.0
    values[::10] = np.where(values[::10] == 2, np.nan, values[::10])
    smooth = Curve(np.arange(200.0), values).smoothed()
    assert smooth[:98] == pytest.approx(2)
    assert smooth[98:103] == pytest.approx(3)
    assert smooth[103:] == pytest.approx(2)


def test_a_run_is_drawn_with_all_its_numbers_named(tmp_path: Path):
    folder = a_run(tmp_path / "cats", best=20)
    picture = tmp_path / "curves.svg"
    draw(read_runs([folder]), picture)
    text = picture.read_text()
    for shown in ("cats", "loss", "contrastive", "learning rate", "pck geometry aware"):
        assert f">{shown}<" in text
    assert ">pck, best 50.5 at step 20<" in text


def test_what_is_recorded_of_a_run_is_drawn(tmp_path: Path):
    settings = {"data": {"dataset": "spair"}, "validation": {"protocol": "image", "alpha": 0.05}}
    record = {"settings": settings, "data": {"val_pairs": 250}, "before": {"pck": 41.24}}
    folders = [a_run(tmp_path / name, best=20) for name in ("cats", "dogs")]
    for folder in folders:
        (folder / "run.json").write_text(json.dumps(record), "utf-8")
    for runs in (folders[:1], folders):
        draw(read_runs(runs), tmp_path / "curves.svg")
        text = (tmp_path / "curves.svg").read_text()
        assert ">PCK@0.05 (image, 250 pairs) of the validations, %<" in text
        assert text.count(">before: 41.2<") == 1


def test_several_runs_are_told_apart(tmp_path: Path):
    folders = [
        a_run(tmp_path / "cats", best=20),
        a_run(tmp_path / "_dogs", best=40),
        a_run(tmp_path / "young", best=40, validations=False),
    ]
    picture = tmp_path / "all.svg"
    draw(read_runs(folders), picture)
    text = picture.read_text()
    assert ">cats, best 50.5 at step 20<" in text
    assert "_dogs, best 50.5 at step 40<" in text
    assert "pck geometry aware" not in text

    draw(read_runs(folders[2:] * 2), picture)  # no validations yet, and names that are the same
    assert picture.read_text().count(f">{folders[2]}<") == 2


def run(*arguments: object) -> Result:
    return CliRunner().invoke(plot, [str(argument) for argument in arguments])


def test_the_command_draws_into_the_runs_folder_or_where_it_is_told(tmp_path: Path):
    cats, dogs = a_run(tmp_path / "cats", best=20), a_run(tmp_path / "dogs", best=30)
    assert run(cats).stdout == f"drawn: {cats / 'curves.png'}\n"
    assert Image.open(cats / "curves.png").width > 1000
    assert run(cats, dogs, "--out", tmp_path / "both.pdf").exit_code == 0
    assert (tmp_path / "both.pdf").read_bytes().startswith(b"%PDF")
    assert "--out FILE.png" in run(cats, dogs).stderr


def test_what_cannot_be_drawn_is_said(tmp_path: Path):
    cats = a_run(tmp_path / "cats", best=20)
    for out, problem in (
        (tmp_path / "curves.jpeg", r"ends in \.png, \.svg, \.pdf"),
        (tmp_path / "nowhere" / "curves.png", "does not exist"),
    ):
        with pytest.raises(InputError, match=problem):
            draw(read_runs([cats]), out)
    with pytest.raises(InputError, match=r"holds no metrics.jsonl"):
        read_runs([tmp_path])
    Journal(tmp_path).close()
    with pytest.raises(GeoAwareError, match="nothing is written down yet"):
        read_runs([tmp_path])
