"""`georun report`: the numbers of a run, and runs against each other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from geoaware.runtime.cli import georun

from ..evaluation.synthetic import many, outcome, results, run


def report(*arguments: object) -> Result:
    return CliRunner().invoke(georun, ["report", *map(str, arguments)])


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return run(tmp_path / "lite", many(30, 12)), run(tmp_path / "better", many(30, 3))


def test_one_run_is_shown_by_every_protocol(tmp_path: Path):
    outcomes = [outcome("a", [4, 5, 9, 10], "aeroplane"), outcome("b", [5], "cat")]
    shown = report(run(tmp_path / "run", outcomes))
    assert shown.exit_code == 0, shown.output
    assert "SPair-71k test, large: lite, argmax; 2 pairs" in shown.stdout
    lines = [" ".join(line.replace("│", " ").split()) for line in shown.stdout.splitlines()]
    assert (
        "SPair-71k test, large, protocol box: "
        "distance <= alpha x longer side of the target's box" in lines
    )
    assert (
        "SPair-71k test, large, protocol image-strict: "
        "distance < alpha x longer side of the target image" in lines
    )
    assert "0.05 75.0 50.0 – 100.0 75.0 60.0 75.0" in lines
    assert "aeroplane 1 4 50.0 100.0 100.0" in lines
    subset = "geometry-aware subset, 50.0 % of pairs, 40.0 % of keypoints: "
    assert any(line.startswith(subset) for line in lines)


def test_one_run_as_json_is_its_results(tmp_path: Path):
    outcomes = many(6, 8)
    shown = report(run(tmp_path / "run", outcomes), "--json")
    assert json.loads(shown.stdout) == json.loads(results(outcomes).model_dump_json())


def test_runs_are_compared_with_the_first(two: tuple[Path, Path]):
    shown = report(*two)
    assert shown.exit_code == 0, shown.output
    assert "distance <= alpha x longer side of the target's box; 30 common pairs" in shown.stdout
    lines = [" ".join(line.replace("│", " ").split()) for line in shown.stdout.splitlines()]
    assert any(line.startswith("0.10 lite") and line.endswith("baseline") for line in lines)
    assert any(line.startswith("0.10 better") and line.endswith("100 % better") for line in lines)
    assert any(line.startswith("aeroplane 10 ") for line in lines)


def test_pairs_left_out_are_counted(tmp_path: Path):
    folders = [run(tmp_path / f"{count}", many(count, 8)) for count in (9, 12)]
    shown = report(*folders)
    assert "3 pairs of 12 are not in all runs and are left out." in shown.stdout


def test_a_comparison_as_json_has_every_number(two: tuple[Path, Path]):
    shown = report(*two, "--json", "--protocol", "image-strict", "--alpha", 0.1, "--alpha", 0.15)
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert found["schema_version"] == 1
    assert found["protocol"] == "image-strict"
    assert found["alphas"] == [0.1, 0.15]
    assert set(found["categories"]) == {"aeroplane", "cat", "dog"}
    first, second = found["overall"]["standings"]["0.10"]
    assert first["difference"] is None
    assert second["difference"]["verdict"] == "better"
    assert second["difference"]["mean"] == pytest.approx(second["mean"] - first["mean"])


def test_a_comparison_is_written_where_asked(two: tuple[Path, Path], tmp_path: Path):
    out = tmp_path / "out"
    assert report(*two, "--out", out).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["comparison.html", "comparison.md"]
    html = (out / "comparison.html").read_text("utf-8")
    assert html.count('"data:image/svg+xml;base64,') == 2 * 2, "two plots, for light and dark"
    text = (out / "comparison.md").read_text("utf-8")
    assert text.startswith("# SPair-71k test, large: lite against better\n")
    assert "### By category at alpha 0.10 (protocol box)" in text
    assert report(*two, "--out", out).exit_code == 0, "an existing folder is written to again"


def test_no_number_is_cut_off_on_a_narrow_terminal(tmp_path: Path):
    names = [f"{'a-long-name-' * 5}{number}" for number in range(3)]
    folders = [run(tmp_path / name, many(12, 8, seed)) for seed, name in enumerate(names)]
    shown = report(*folders)
    assert "…" not in shown.stdout
    [row] = [line for line in shown.stdout.splitlines() if line.startswith("│ aeroplane")]
    assert len(row.strip("│").split("│")) == 2 + 1 + 2 * 3
    assert all(cell.strip() for cell in row.strip("│").split("│"))


def test_bad_input_is_one_line(two: tuple[Path, Path], tmp_path: Path):
    first, second = two
    (tmp_path / "file").write_text("")
    empty, cut = tmp_path / "empty", run(tmp_path / "cut", many(3, 8))
    empty.mkdir()
    (cut / "results.json").write_text('{"schema_version": 1', "utf-8")
    for arguments, status, message in (
        ([], 2, "Missing argument 'RUN...'"),
        ([tmp_path / "none"], 2, "none: no such folder"),
        ([tmp_path / "file"], 2, "file: no such folder"),
        ([empty], 2, "empty: holds no results.json"),
        ([cut], 1, "results.json: damaged (Invalid JSON"),
        ([first, cut], 1, "results.json: damaged (Invalid JSON"),
        ([first, "--protocol", "box"], 2, "name two or more runs"),
        ([first, "--out", tmp_path], 2, "name two or more runs"),
        ([first, first], 2, "named twice"),
        ([first, second, "--protocol", "none"], 2, "no protocol 'none'; common to all runs: box"),
        ([first, second, "--alpha", "nan"], 2, "alpha nan of protocol box is not in all runs"),
        ([first, second, "--out", tmp_path / "file"], 2, "file: cannot be made: File exists"),
    ):
        result = report(*arguments)
        assert result.exit_code == status, (arguments, result.output)
        assert message in result.stderr
        assert result.stderr.startswith("georun: error: ")
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""


def test_the_command_loads_nothing_heavy_before_it_runs():
    program = (
        "import sys, geoaware.runtime.cli.compare, geoaware.runtime.cli.evaluation_tables\n"
        "assert not {'numpy', 'pydantic', 'matplotlib', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
