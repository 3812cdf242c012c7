"""`georun bench`: runs, reports and comparisons from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from geoaware.bench import rows
from geoaware.bench.rows import Row, Spread
from geoaware.bench.settings import Settings, Watch
from geoaware.runtime.cli import georun
from geoaware.runtime.errors import GeoAwareError

CASE = {"points": 12, "grid": 60, "channels": 768}


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(georun, ["bench", *map(str, arguments)])


def row(contender: str, median: float) -> Row:
    spread = Spread.of([median + 0.001 * step for step in range(5)])
    return Row(suite="matching", case=CASE, contender=contender, unit="ms", spread=spread)


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Settings]]:
    """Make the suites measure this; returns the settings they are asked with."""

    def with_rows(*measured: Row, error: GeoAwareError | None = None) -> list[Settings]:
        asked: list[Settings] = []

        def suite(settings: Settings, watch: Watch) -> Iterator[Row]:
            asked.append(settings)
            watch.note("matching: 12 points")
            yield from measured
            if error:
                raise error

        monkeypatch.setattr("geoaware.bench.run.suites", lambda names: {"matching": suite})
        return asked

    return with_rows


def test_a_run_is_shown_and_its_file_is_named(measuring: Callable[..., object], tmp_path: Path):
    missing = row("OpenVINO", 1).model_copy(update={"spread": None, "missing": "not installed"})
    measuring(row("geoaware", 2), row("PyTorch eager", 9), missing)
    result = bench("matching", "--threads", 2, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    [path] = rows.files(tmp_path)
    assert result.stderr.splitlines() == [
        "matching; threads of every contender: 2",
        "matching: 12 points",
        f"written: {path}",
    ]
    lines = [" ".join(line.replace("│", " ").split()) for line in result.stdout.splitlines()]
    assert any(line.endswith("PyTorch eager 9.00 ms 9.00 … 9.00 4.50×") for line in lines)
    assert "– OpenVINO: not installed" in lines
    [run] = rows.read(path).runs
    assert run.command == f"georun bench matching --threads 2 --out {tmp_path}"


def test_a_run_as_json_is_what_was_written(measuring: Callable[..., object], tmp_path: Path):
    measuring(row("geoaware", 2))
    printed = json.loads(bench("--out", tmp_path, "--json").stdout)
    [path] = rows.files(tmp_path)
    assert json.loads(path.read_text("utf-8"))["runs"] == [printed]


def test_options_say_what_is_measured(measuring: Callable[..., list[Settings]], tmp_path: Path):
    asked = measuring(row("geoaware", 2))
    bench("--out", tmp_path)
    words = "--recipe lite --recipe lite --precision fp32 --frame 256 --batch 2 --threads 1"
    bench("--out", tmp_path, *words.split(), "--repeats", 2, "--seconds", 0.5, "--device", "cpu")
    default, chosen = asked
    assert default.recipes == ("lite", "dinov2-s")
    assert default.precisions == ("fp32", "int8")
    assert chosen.recipes == ("lite",)
    assert (chosen.precisions, chosen.frames, chosen.batches) == (("fp32",), (256,), (2,))
    assert (chosen.threads, chosen.device) == (1, "cpu")
    assert (chosen.pace.repeats, chosen.pace.seconds, chosen.pace.least) == (2, 0.5, 2)


def test_a_suite_that_fails_is_said_after_the_rest_was_written(
    measuring: Callable[..., object], tmp_path: Path
):
    measuring(row("geoaware", 2), error=GeoAwareError("no weights"))
    result = bench("--out", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "georun: error: matching: no weights"
    assert "geoaware" in result.stdout
    assert len(rows.files(tmp_path)) == 1


def test_the_exit_status_says_whether_we_got_slower(
    measuring: Callable[..., object], tmp_path: Path
):
    for median in (2, 2.05, 3):
        measuring(row("geoaware", median), row("PyTorch eager", 9))
        bench("--out", tmp_path / f"{median}")
    first, same, slower = (rows.files(tmp_path / f"{median}")[0] for median in (2, 2.05, 3))
    assert bench("--compare", first, same).exit_code == 0
    result = bench("--compare", first, slower)
    assert result.exit_code == 1
    assert "1 of 1 of our figures got worse beyond the noise" in result.stdout
    assert "takes 1.00 times as much" in result.stdout
    printed = json.loads(bench("--compare", first, slower, "--json").stdout)
    assert [each["verdict"] for each in printed["changes"]] == ["worse", "no clear difference"]


def test_a_report_is_made_of_the_files_in_the_folder(
    measuring: Callable[..., object], tmp_path: Path
):
    pytest.importorskip("matplotlib")
    measuring(row("geoaware", 2), row("PyTorch eager", 9))
    bench("--out", tmp_path)
    result = bench("--report", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    written = [Path(line) for line in result.stdout.splitlines()]
    assert {path.suffix for path in written} == {".md", ".png"}
    assert all(path.parent == tmp_path and path.exists() for path in written)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nonsense"], 2, "no suite 'nonsense'; use machine, features"),
        (["--recipe", "nonsense"], 2, "no recipe 'nonsense'; use dinov2-b"),
        (["--precision", "fp8"], 2, "'fp8' is not one of"),
        (["--threads", "0"], 2, "0 is not in the range"),
        (["--device", "cuda"], 1, "no NVIDIA driver"),
        (["--report", "--json"], 2, "--report measures nothing; leave out --json"),
        (["--report", "--out", "{tmp}"], 2, "holds no result file"),
        (["--report", "{tmp}/a.json"], 2, "a.json: no such file"),
        (["--compare", "a", "b", "--recipe", "lite"], 2, "--compare measures nothing; leave out"),
        (["--compare", "a", "b", "matching"], 2, "leave out SUITE"),
        (["--compare", "a", "b", "--report"], 2, "leave out --report"),
        (["--compare", "{tmp}/a.json", "{tmp}/b.json"], 2, "b.json: no such file"),
        (["--compare", "a"], 2, "requires 2 arguments"),
    ],
)
@pytest.mark.usefixtures("no_gpu")
def test_bad_input_is_one_line(arguments: list[str], status: int, message: str, tmp_path: Path):
    result = bench(*(word.format(tmp=tmp_path) for word in arguments))
    assert result.exit_code == status, result.output
    assert message in result.stderr
    assert result.stderr.startswith("georun: error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_the_command_loads_nothing_heavy_before_it_runs():
    program = (
        "import sys, geoaware.runtime.cli\n"
        "assert not {'numpy', 'pydantic', 'rich', 'geoaware.bench'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
