"""What an evaluation leaves in its folder."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoaware.runtime import GeoAwareError
from geoaware.runtime.evaluation import report
from geoaware.runtime.evaluation.outcome import Outcome
from geoaware.runtime.evaluation.reading import read_results
from geoaware.runtime.evaluation.report import pictures

from .synthetic import many, outcome, results

FILES = ["per_keypoint.csv", "per_pair.csv", "report.html", "report.md", "results.json"]


def written(folder: Path, outcomes: Sequence[Outcome], **changes: object) -> Path:
    report.write(results(outcomes, **changes), outcomes, folder)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def data_uris(html: str, kind: str) -> list[bytes]:
    found = re.findall(rf'"data:image/{re.escape(kind)};base64,([^"]+)"', html)
    return [base64.b64decode(each) for each in found]


def test_a_finished_run_has_all_files_and_its_results_can_be_read_back(tmp_path: Path):
    outcomes = many(12, 8)
    written(tmp_path, outcomes)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    assert read_results(tmp_path) == results(outcomes)


def test_a_run_that_cannot_write_a_report_is_not_complete(tmp_path: Path):
    """A results.json of before would vouch for files that are no longer its own."""
    (tmp_path / "report.html").mkdir()
    (tmp_path / "results.json").write_text("old")
    with pytest.raises(GeoAwareError, match=r"report.html: cannot be written"):
        written(tmp_path, many(3, 8))
    assert not (tmp_path / "results.json").exists()


def test_pck_of_a_pair_is_the_share_of_its_correct_keypoints(tmp_path: Path):
    """The box's longer side is 100: at 0.05 the threshold is 5, at 0.10 it is 10 pixels."""
    outcomes = [
        outcome("a", [4, 5, 9, 10, 30], viewpoint=2),
        replace(outcome("b", [0, 100], "dog", scale=1), mirrored=True),
    ]
    first, second = rows(written(tmp_path, outcomes, protocols=("box", "box-strict")) / FILES[1])
    assert first == {
        "pair": "a", "category": "cat", "source": "chelsea.png", "target": "cheetah1.jpg",
        "keypoints": "5", "mirrored": "0", "viewpoint": "2", "scale": "", "mean distance": "11.6",
        "box@0.05": "0.4", "box@0.10": "0.8", "box@0.20": "0.8",
        "box-strict@0.01": "0.0", "box-strict@0.05": "0.2", "box-strict@0.10": "0.6",
    }  # fmt: skip
    assert (second["viewpoint"], second["scale"], second["mirrored"]) == ("", "1", "1")


def test_every_keypoint_visible_in_both_images_has_a_row(tmp_path: Path):
    known = outcome("a", [4, 10])
    unknown = replace(outcome("b", [30]), nearest=None)
    table = rows(written(tmp_path, [known, unknown], protocols=("box-strict",)) / FILES[0])
    assert [(row["pair"], row["keypoint"]) for row in table] == [("a", "3"), ("a", "4"), ("b", "3")]
    assert table[1] == {
        "pair": "a", "category": "cat", "keypoint": "4",
        "source x": "77.0", "source y": "90.0", "predicted x": "34.0", "predicted y": "77.0",
        "truth x": "44.0", "truth y": "77.0", "distance": "10.0", "similarity": "0.4",
        "mutual": "1", "geometry-aware": "0", "box-strict reference": "100.0",
        "box-strict@0.01": "0", "box-strict@0.05": "0", "box-strict@0.10": "0",
    }  # fmt: skip
    assert [row["box-strict@0.05"] for row in table] == ["1", "0", "0"]
    assert table[2]["mutual"] == ""


def test_the_report_gives_percent_and_names_the_protocol_of_every_table(tmp_path: Path):
    outcomes = [
        outcome("a", [4, 5, 9, 10], "aeroplane", viewpoint=0),
        outcome("b", [5], viewpoint=1),
    ]
    text = (written(tmp_path, outcomes) / "report.md").read_text("utf-8")
    _, *sections = text.split("\n## Protocol ")
    assert [section.splitlines()[0] for section in sections] == ["box", "image-strict"]
    for section in sections:
        name = section.splitlines()[0]
        titles = re.findall(r"^### (.*)", section, re.MULTILINE)
        assert all(title.endswith(f"(protocol {name})") for title in titles)
        for what in ("Overall", "Per category", "Geometry-aware subset", "Mutual", "By viewpoint"):
            assert any(title.startswith(what) for title in titles), what
    assert "distance <= alpha x longer side of the target's box" in sections[0]
    assert "\n| 0.05 | 75.0 | 50.0 – 100.0 | 25.0 | 75.0 | 62.5 – 87.5 | 60.0 | 75.0 |" in text
    assert "\n| aeroplane | 1 | 4 | 50.0 | 100.0 | 100.0 | 50.0 | 100.0 | 100.0 |" in text
    assert "\n| all | 2 | 5 | 75.0 | 100.0 | 100.0 | 60.0 | 100.0 | 100.0 |" in text
    assert not re.search(r"\]\(", text), "nothing is linked to"


def test_the_report_tells_what_ran(tmp_path: Path):
    text = (written(tmp_path, many(6, 8)) / "report.md").read_text("utf-8")
    for row in (
        "| dataset | SPair-71k test, large |",
        "| selection | limit 6 |",
        "| fingerprint | 0123456789abcdef |",
        "| method | argmax |",
        "| features | stored as float16; 2 extracted, 0 from the store |",
        "| durations | extraction 1.5 s, matching 0.2 s |",
        "| lite | ffffffffffffffff | fp32 | 1 |",
        "| lite | efficientnet-lite0 | a package |  | Apache-2.0 |",
    ):
        assert f"\n{row}\n" in text


def test_the_report_shows_20_problems_and_counts_the_others(tmp_path: Path):
    problems = [f"Annotations/{number}.json: no such image" for number in range(25)]
    text = (written(tmp_path, many(3, 8), problems=problems) / "report.md").read_text("utf-8")
    assert text.count("no such image") == 20
    assert "| and 5 more, in results.json |" in text


def test_the_page_needs_nothing_beside_it(tmp_path: Path):
    html = (written(tmp_path, many(20, 8)) / "report.html").read_text("utf-8")
    sources = re.findall(r'(?:src|srcset|href)="(.{5})', html)
    assert set(sources) == {"data:", "#sect"}
    assert not re.search(r"<(link|script|iframe)|@import|url\(", html)
    assert len(data_uris(html, "svg+xml")) == 3 * 2, "three plots, each for light and dark"
    for picture in data_uris(html, "jpeg"):
        assert Image.open(io.BytesIO(picture)).height == pictures.HEIGHT


def test_names_from_users_files_are_shown_as_they_are(tmp_path: Path):
    odd = "<script>alert('x')</script> | $\\frac$ 猫_*"
    outcomes = [outcome(odd, [4, 90], odd), outcome("plain", [3, 5])]
    written(tmp_path, outcomes, problems=[odd])
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; | $\\frac$ 猫_*") > 4
    row = r"\<script>alert('x')\</script> \| $\\frac$ 猫\_\* | 1 | 2 |"
    assert row in (tmp_path / "report.md").read_text("utf-8")
    assert rows(tmp_path / "per_pair.csv")[0]["pair"] == odd
    bars = data_uris(html, "svg+xml")[2].decode()
    assert "$\\frac$ 猫_*" in bars, "not read as a formula"


def test_pairs_are_ranked_by_distance_in_reference_lengths_then_by_name(tmp_path: Path):
    """Distances 0 to 9, given backwards; the two at 9 tie."""
    outcomes = [outcome(f"p{number}", [min(number, 9)]) for number in reversed(range(11))]
    html = (written(tmp_path, outcomes) / "report.html").read_text("utf-8")
    captions = re.findall(r"<figcaption>(best|median|worst): (\w+) \(cat\)", html)
    assert captions == [
        ("best", "p0"), ("best", "p1"), ("best", "p2"),
        ("median", "p4"), ("median", "p5"), ("median", "p6"),
        ("worst", "p10"), ("worst", "p9"), ("worst", "p8"),
    ]  # fmt: skip
    assert "p10 (cat), mean distance 0.090 x reference" in html


def test_no_pair_is_shown_twice(tmp_path: Path):
    html = (written(tmp_path, many(4, 8)) / "report.html").read_text("utf-8")
    assert re.findall(r"<figcaption>(best|median|worst):", html) == ["best"] * 3 + ["worst"]


def test_a_picture_shows_predictions_and_truth_where_they_are(tmp_path: Path):
    """Two images of 90 x 90 pixels are shown at 360 x 360, 12 pixels apart."""
    Image.new("RGB", (90, 90), (128, 128, 128)).save(tmp_path / "grey.png")
    pair = outcome("a", [0, 40], paths=(tmp_path / "grey.png", tmp_path / "grey.png"))
    picture = np.asarray(pictures.draw(pair, np.array([True, False]))).astype(int)
    assert picture.shape == (360, 360 + 12 + 360, 3)

    def nearly(place: tuple[float, float], colour: tuple[int, int, int]) -> bool:
        """Whether a disc of this colour is drawn here; its number takes some of it."""
        x, y = round(place[0] * 4) + 372, round(place[1] * 4)
        disc = picture[y - 6 : y + 7, x - 6 : x + 7]
        return bool((np.abs(disc - colour).max(axis=2) < 12).mean() > 0.5)

    (x0, y0), (x1, y1) = pair.truth
    assert nearly((x0, y0), pictures.CORRECT)
    assert nearly((x1 - 40, y1), pictures.WRONG)
    ring = picture[round(y1 * 4), round(x1 * 4) + 372 + pictures.RADIUS - 1]
    assert (ring > 230).all(), "a white ring around the truth"
    assert (picture[:60] == 128)[:, :340].all(), "nothing where nothing is"


def test_a_photograph_that_is_gone_does_not_lose_the_report(tmp_path: Path):
    there, gone = outcome("a", [4]), outcome("b", [5])
    missing = replace(gone.pair.source, path=tmp_path / "none.jpg")
    gone = replace(gone, pair=replace(gone.pair, source=missing))
    html = (written(tmp_path, [there, gone]) / "report.html").read_text("utf-8")
    assert len(data_uris(html, "jpeg")) == 1
    assert f"b could not be drawn: {tmp_path / 'none.jpg'}: no such file" in html


def test_a_reference_length_of_nothing_is_no_error(tmp_path: Path):
    """The box around one keypoint has no size, and distance / 0 is no number."""
    outcomes = [outcome("a", [4]), outcome("b", [0])]
    written(tmp_path, outcomes, protocols=("keypoint-box",))
    assert [row["keypoint-box@0.10"] for row in rows(tmp_path / FILES[1])] == ["0.0", "1.0"]
    assert json.loads((tmp_path / "results.json").read_text())["dataset"]["pairs"] == 2


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_what_is_missing_for_the_report_is_said_before_any_work(
    package: str, monkeypatch: pytest.MonkeyPatch
):
    report.check_installed()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(GeoAwareError, match=rf'{package} missing.* pip install "geoaware\[eval\]"'):
        report.check_installed()
