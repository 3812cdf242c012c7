"""`georun tune`: every setting from one pass, the same as one evaluation each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from geoaware.runtime.cli import georun


@pytest.fixture
def root(data: Path) -> Path:
    return data / "SPair-71k-mini"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(georun, [str(each) for each in arguments])


def tuned(root: Path, *options: object) -> dict[str, Any]:
    done = run("tune", "spair", "--root", root, "--split", "test", *options, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def evaluated(root: Path, *options: object) -> dict[str, float]:
    done = run("eval", "spair", "--root", root, *options, "--json")
    assert done.exit_code == 0, done.output
    scores: dict[str, float] = json.loads(done.stdout)["protocols"]["box"]["overall"]["per_image"]
    return scores


@pytest.mark.parametrize("variant", ["cropped", "zeroed"])
def test_every_cell_of_the_grid_is_an_evaluation(root: Path, variant: str):
    found = tuned(
        root, "--variant", variant, "--windows", "3,7", "--temperatures", "0.05,0.2", "--limit", 30
    )
    limit = "--limit", 30
    for alpha, values in found["alphas"].items():
        assert values["argmax"] == pytest.approx(
            evaluated(root, *limit, "--method", "argmax")[alpha], abs=1e-4
        )
    for row, window in enumerate((3, 7)):
        for column, temperature in enumerate((0.05, 0.2)):
            scores = evaluated(
                root, *limit, "--method", "softargmax", "--variant", variant,
                "--window", window, "--temperature", temperature,
            )  # fmt: skip
            for alpha, values in found["alphas"].items():
                assert values["pck"][row][column] == pytest.approx(scores[alpha], abs=1e-4)


def test_the_papers_grid_comes_without_asking_and_the_best_is_named(root: Path, tmp_path: Path):
    found = tuned(root, "--out", tmp_path / "out")
    assert found["windows"] == [3, 5, 7, 9, 11, 15]
    assert found["temperatures"] == [0.05, 0.1, 0.2, 0.5, 1.0]
    for values in found["alphas"].values():
        best = values["best"]
        row = found["windows"].index(best["window"])
        column = found["temperatures"].index(best["temperature"])
        assert values["pck"][row][column] == values["best_pck"] == max(map(max, values["pck"]))
    assert json.loads((tmp_path / "out" / "tune.json").read_text()) == found
    assert (found["dataset"], found["split"], found["bundles"]) == (
        "spair", "test", {"lite": "d618bf65714a28db"},
    )  # fmt: skip
    with Image.open(tmp_path / "out" / "heatmap.png") as picture:
        assert picture.width > picture.height


def test_a_person_gets_tables(root: Path):
    done = run("tune", "spair", "--root", root, "--split", "test", "--limit", 10)
    assert done.exit_code == 0
    assert "best: --method softargmax --window" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--windows", "4"], "window 4 must be odd"),
        (["--windows", "three"], "is no list of numbers"),
        (["--temperatures", "0"], "temperature 0.0 must lie between"),
        (["--protocol", "all"], "name it"),
        (["--split", "val"], "val.txt"),
    ],
)
def test_bad_input_is_one_line(root: Path, options: list[str], message: str):
    done = run("tune", "spair", "--root", root, "--split", "test", *options)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("georun: error") == 1
