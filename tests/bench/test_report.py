"""What a report says of runs with made figures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from geoaware.bench import report
from geoaware.bench.report.latest import Case, Latest
from geoaware.bench.report.ratio import Ratio
from geoaware.bench.report.targets import TARGETS, reached
from geoaware.bench.rows import OURS, Row, Run, append
from geoaware.runtime import GeoAwareError

from .made_run import REASON, made_run, row

LITE = {"recipe": "lite", "precision": "fp32", "frame": 512, "batch": 1, "from": "file"}


def machine(folder: Path, run: Run) -> Latest:
    """The one machine that a run alone makes."""
    [found] = report.machines([append(folder, run)])
    return found


def slower(run: Run, factor: float, concerns: Callable[[Row], bool]) -> Run:
    """The same run, in which some of our times are so many times as long."""
    return run.model_copy(
        update={
            "rows": tuple(
                row(each.suite, each.case, OURS, factor * each.spread.median, each.unit)
                if each.contender == OURS and concerns(each)
                else each
                for each in run.rows
            )
        }
    )


def line(table: str, start: str) -> str:
    """The one line of a table that begins so."""
    [found] = [each for each in table.splitlines() if each.startswith(f"| {start}")]
    return found


@pytest.mark.parametrize(
    ("ours", "rival", "unit", "text"),
    [
        (10, 20, "ms", "2.00×"),
        (10, 10.5, "ms", "≈ 1"),  # the ranges overlap
        (10.5, 10, "ms", "≈ 1"),
        (20, 10, "ms", "0.500×"),
        (20, 10, "pairs/s", "2.00×"),  # of rates more is better
        (200, 400, "MB", "2.00×"),
        (1, 1234, "ms", "1,234×"),
    ],
)
def test_a_ratio_above_one_means_that_we_are_ahead(ours: float, rival: float, unit: str, text: str):
    spreads = (row("match", {}, "any", value, unit).spread for value in (ours, rival))
    assert str(Ratio.of(*spreads, unit)) == text


def test_what_took_nothing_has_no_ratio():
    rows = (row("match", {}, OURS, 0, "MB"), row("match", {}, "other", 5, "MB"))
    assert Case("match", {}, "MB", rows).ratio("other") is None


def test_the_fastest_rival_of_a_rate_is_the_highest():
    rates = {OURS: 9, "slow": 1, "fast": 5}
    rows = tuple(row("evaluation", {}, name, rate, "pairs/s") for name, rate in rates.items())
    assert Case("evaluation", {}, "pairs/s", rows).fastest.contender == "fast"
    times = tuple(row("match", {}, name, rate) for name, rate in rates.items())
    assert Case("match", {}, "ms", times).fastest.contender == "slow"


def test_of_each_suite_the_newest_run_that_holds_it_counts(tmp_path: Path):
    old = made_run()
    features = tuple(each for each in old.rows if each.suite == "features")
    new = made_run(date="2026-11-23T09:00:00+00:00", rows=features, command="georun bench features")
    files = [append(tmp_path, new), append(tmp_path, old)]
    [found] = report.machines(files)
    assert found.runs["features"] == new
    assert {run.date for suite, run in found.runs.items() if suite != "features"} == {old.date}
    tables = report.tables(found)
    assert "2026-11-23 at 0123456-dirty, `georun bench features`" in tables["Features"]
    assert "2026-11-22" not in tables["Features"]
    assert "2026-11-22 at 0123456-dirty, `georun bench`" in tables["Matching"]
    assert "2026-11-22" in tables["In short"]
    assert "2026-11-23" in tables["In short"]


def test_other_hardware_and_other_threads_stand_apart(tmp_path: Path):
    other = {"cpu": "Other CPU", "cores": 8, "gpu": "A GPU"}
    runs = (made_run(), made_run(hardware=other), made_run("2026-11-23T10:00:00", threads=1))
    found = report.machines(list({append(tmp_path, run): None for run in runs}))
    assert sorted(each.machine for each in found) == [
        "A GPU, Other CPU, 8 cores, 2 threads",
        "Made CPU 9, 2 cores, 1 thread",
        "Made CPU 9, 2 cores, 2 threads",
    ]


def test_the_summary_is_short_and_says_whom_we_are_held_against(tmp_path: Path):
    summary = report.summary_table(machine(tmp_path, made_run()))
    table, _, provenance = summary.partition("\n\n")
    assert len(table.splitlines()) == 12
    lite = line(table, "features of an image, `lite` fp32")
    assert "45.0 ms (42.8–47.2) | 108 ms, **2.40×** | OpenVINO, 45.9 ms, **≈ 1** |" in lite
    assert "`dinov2-s` fp32 (random weights)" in table
    assert "PyTorch loop, keypoints, 150 pairs/s, **6.00×**" in line(table, "evaluation ")
    assert provenance.startswith("Made CPU 9, 2 cores, 2 threads; 2026-11-22 at ")


def test_the_tables_tell_what_is_missing_and_what_is_random(tmp_path: Path):
    features = report.tables(machine(tmp_path, made_run()))["Features"]
    assert (
        f"PyTorch compiled at lite fp32, 512 px, batch 4, tensor and 1 more: {REASON}" in features
    )
    assert "Random weights, which take the same time: dinov2-s." in features
    cells = line(features, "lite | trained | fp32 | 512 | 4 | tensor").split(" | ")
    assert cells[6] == "160 ms (152–168)"
    assert cells[-2:] == ["–", "1.0e-06 |"]


def test_what_could_not_be_measured_is_told(tmp_path: Path):
    case = {"recipe": "big", "precision": "int8"}
    absent = Row(suite="features", case=case, contender=OURS, unit="ms", missing="its gate | fails")
    unmeasured = Row(
        suite="work", case={"what": "batch", "at": 1}, contender=OURS, unit="ms", missing="no room"
    )
    file = append(tmp_path, made_run(rows=(absent, *made_run().rows[:3], unmeasured)))
    page, *pictures = report.write([file], tmp_path / "report")
    assert [picture.stem.rpartition("threads-")[2] for picture in pictures] == [
        "features", "time-over-the-floor"
    ]  # fmt: skip
    assert "geoaware at batch, 1: no room" in page.read_text("utf-8")
    assert "geoaware at big int8: its gate \\| fails" in page.read_text("utf-8")


def test_the_whole_match_tells_the_tails_and_the_memory(tmp_path: Path):
    table = report.tables(machine(tmp_path, made_run()))["The whole match"]
    assert (
        "| lite, fp32, warm | OpenVINO | 84.0 ms (79.8–88.2) | 92.4 ms | 101 ms | ≈ 1 | 1.0e-06 |"
        in table
    )
    assert "| lite, fp32, cold | minimal PyTorch script | 480 MB" in table


def test_the_work_grows_with_the_exponent_it_was_made_with(tmp_path: Path):
    table = report.tables(machine(tmp_path, made_run()))["Cost against work"]
    assert line(table, "grid") == "| grid | 16 to 96 | 2.56 ms | 92.2 ms | 2.00 |"
    assert line(table, "keypoints").endswith("| 0.90 |")


def verdicts(found: Latest) -> dict[str, str]:
    return {target.name: reached(found, target).verdict for target in TARGETS}


def test_targets_are_met_missed_or_within_the_noise(tmp_path: Path):
    found = verdicts(machine(tmp_path, made_run()))
    assert found["features of `lite` at fp32, against the fastest rival"] == "within the noise"
    assert found["features of `lite` at int8, against our fp32"] == "met"
    assert found["matching 12 points, 60×60×768, against PyTorch eager, which normalises"] == "met"
    assert found["a cold `georun match`, against a minimal PyTorch script"] == "met"

    cold = slower(made_run(), 2, lambda each: each.case.get("what") == "cold")
    found = verdicts(machine(tmp_path / "cold", cold))
    assert found["a cold `georun match`, against a minimal PyTorch script"] == "not met"


def test_a_target_is_judged_by_its_worst_case(tmp_path: Path):
    def concerns(each: Row) -> bool:
        return each.case.items() >= {**LITE, "from": "tensor"}.items()

    found = machine(tmp_path, slower(made_run(), 2, concerns))
    [target] = [each for each in TARGETS if each.name.startswith("features of `lite` at fp32")]
    worst = reached(found, target)
    assert worst.verdict == "not met"
    assert worst.where == "lite fp32, 512 px, batch 1, tensor: OpenVINO"
    assert "| not met | 1× | 0.51" in line(report.targets_table(found), target.name)


def test_a_case_that_misses_a_target_is_not_hidden_by_a_noisier_one(tmp_path: Path):
    def concerns(each: Row, batch: int) -> bool:
        return each.case.items() >= {**LITE, "from": "tensor", "batch": batch}.items()

    missed = slower(made_run(), 1.18, lambda each: concerns(each, 4))
    noisy = {"median": 50.0, "p10": 20.0, "p90": 80.0}
    rows = tuple(
        each.model_copy(update={"spread": each.spread.model_copy(update=noisy)})
        if each.contender == OURS and concerns(each, 1)
        else each
        for each in missed.rows
    )
    found = machine(tmp_path, made_run(rows=rows))
    [target] = [each for each in TARGETS if each.name.startswith("features of `lite` at fp32")]
    worst = reached(found, target)
    assert worst.verdict == "not met"
    assert worst.where == "lite fp32, 512 px, batch 4, tensor: OpenVINO"


def test_a_target_that_could_not_be_measured_says_why(tmp_path: Path):
    case = {"recipe": "lite", "precision": "int8"}
    absent = Row(suite="features", case=case, contender=OURS, unit="ms", missing="its gate fails")
    found = machine(tmp_path, made_run(rows=(absent,)))
    table = report.targets_table(found)
    assert "| its gate fails | not measured |" in line(
        table, "features of `lite` at int8, against our"
    )
    assert set(verdicts(found).values()) == {"not measured"}


def test_a_single_measurement_has_no_range(tmp_path: Path):
    single = tuple(
        each.model_copy(
            update={"spread": each.spread and each.spread.model_copy(update={"count": 1})}
        )
        for each in made_run().rows
    )
    table = report.tables(machine(tmp_path, made_run(rows=single)))["Evaluation"]
    assert "| lite, extraction | geoaware | 20.0 images/s | 1 |  |" in table


def test_a_report_is_a_page_and_its_pictures(tmp_path: Path):
    file = append(tmp_path, made_run())
    page, *pictures = report.write([file], tmp_path / "new" / "folder")
    text = page.read_text("utf-8")
    assert len(pictures) == 4
    for picture in pictures:
        assert f"]({picture.name})" in text
        with Image.open(picture) as image:
            assert min(image.size) > 300
            assert len(image.convert("RGB").getcolors(1 << 24)) > 50
    for title, table in report.tables(report.machines([file])[0]).items():
        assert f"### {title}\n\n{table}" in text


def test_cases_in_a_small_plot_of_floors_do_not_cover_each_other(tmp_path: Path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from geoaware.bench.report import dots, panels

    fp32 = {"recipe": "lite", "precision": "fp32", "batch": 1}
    cases = [each for each in machine(tmp_path, made_run()).cases("features") if each.holds(fp32)]
    figure = dots.floors_figure(panels.by_network(cases))
    FigureCanvasAgg(figure).draw()
    [axes] = figure.axes
    boxes = [each.get_window_extent() for each in axes.get_yticklabels()]
    assert len(boxes) > 1
    for upper, lower in pairwise(boxes):
        assert upper.y0 > lower.y1


def test_a_run_of_one_suite_makes_a_report_of_one_plot(tmp_path: Path):
    rows = tuple(each for each in made_run().rows if each.suite in ("machine", "features"))
    first = tuple(each for each in rows if each.case.get("precision", "int8") == "int8")
    page, picture = report.write([append(tmp_path, made_run(rows=first[:3]))], tmp_path)[:2]
    assert picture.name.endswith("features.png")
    assert "### Matching" not in page.read_text("utf-8")


def test_without_matplotlib_a_report_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    doctor = sys.modules["geoaware.runtime.doctor"]
    monkeypatch.setattr(doctor, "missing", lambda extra: ["matplotlib"])
    with pytest.raises(GeoAwareError, match=r'needs matplotlib: pip install "geoaware\[eval\]"'):
        report.write([append(tmp_path, made_run())], tmp_path)
