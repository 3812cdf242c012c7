from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from geoaware.runtime import FeatureMap, Pipeline
from geoaware.runtime.cli import georun


def run(*arguments: object) -> Result:
    return CliRunner().invoke(georun, [str(argument) for argument in arguments])


def found(result: Result) -> dict:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_is_what_the_pipeline_says(lite: Pipeline, cat: Path, cheetah: Path):
    report = found(run("match", cat, cheetah, "--points", "262,240 105,85.5", "--json"))
    truth = lite.match(cat, cheetah, [(262, 240), (105, 85.5)])
    assert report["schema_version"] == 1
    assert report["source"] == {"path": str(cat), "width": 451, "height": 300}
    assert report["target"] == {"path": str(cheetah), "width": 256, "height": 256}
    manifest = lite.bundle.manifest
    assert report["bundle"] == {"name": "lite", "hash": manifest.hash(), "precision": "fp32"}
    assert report["method"] == manifest.recipe.matching.model_dump()
    assert set(report["timings_ms"]) == {"load", "source", "target", "match"}
    assert [each["source"] for each in report["matches"]] == [[262, 240], [105, 85.5]]
    np.testing.assert_allclose([e["target"] for e in report["matches"]], truth.target, atol=1e-3)
    np.testing.assert_allclose(
        [e["similarity"] for e in report["matches"]], truth.similarity, atol=1e-5
    )
    assert [e["mutual"] for e in report["matches"]] == truth.mutual.tolist()


def test_the_table_is_for_people(cat: Path, cheetah: Path):
    result = run("match", cat, cheetah, "--points", "262,240")
    assert result.exit_code == 0
    assert "262.0" in result.stdout
    assert "similarity" in result.stdout
    assert "device: cpu (chosen by auto)" in result.stderr


def test_file_names_are_shown_as_they_are(cat: Path, cheetah: Path, tmp_path: Path):
    odd = tmp_path / "[red]cat[" / "lion].png"
    odd.parent.mkdir()
    odd.write_bytes(cat.read_bytes())
    shown = "".join(run("match", odd, cheetah, "--points", "9,9").stdout.split())
    assert "[red]cat[/lion].png" in shown


def test_outputs_keep_links_and_permissions(cat: Path, cheetah: Path, tmp_path: Path):
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    assert run("match", cat, cheetah, "--out", link).exit_code == 0
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(real.read_text())["matches"]) == 25
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["link.json", "real.json"]


def test_points_come_from_files(cat: Path, cheetah: Path, tmp_path: Path):
    points = [[262.0, 240.0], [105.0, 85.0]]
    (tmp_path / "list.json").write_text(json.dumps(points))
    (tmp_path / "object.json").write_text(json.dumps({"points": points}))
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name", "x", "y"], ["nose", 262, 240], ["ear", 105, 85]])
    for name in ("list.json", "object.json", "table.csv"):
        report = found(run("match", cat, cheetah, "--points-file", tmp_path / name, "--json"))
        assert [each["source"] for each in report["matches"]] == points


def test_a_grid_of_5_is_the_default(cat: Path, cheetah: Path):
    assert len(found(run("match", cat, cheetah, "--json"))["matches"]) == 25
    assert len(found(run("match", cat, cheetah, "--grid", 3, "--json"))["matches"]) == 9


def test_several_targets_give_a_list_and_one_row_each(cat: Path, cheetah: Path, tmp_path: Path):
    out, drawn = tmp_path / "out.json", tmp_path / "out.png"
    result = run("match", cat, cheetah, cat, "--json", "--out", out, "--draw", drawn)
    reports = found(result)
    assert [each["target"]["path"] for each in reports] == [str(cheetah), str(cat)]
    assert json.loads(out.read_text()) == reports
    assert reports[0]["timings_ms"]["source"] == reports[1]["timings_ms"]["source"]
    assert Image.open(drawn).height > 1000


def test_filters_leave_fewer_matches(cat: Path, cheetah: Path):
    everything = found(run("match", cat, cheetah, "--json"))["matches"]
    mutual = found(run("match", cat, cheetah, "--mutual", "--json"))["matches"]
    assert mutual == [each for each in everything if each["mutual"]]
    similar = found(run("match", cat, cheetah, "--min-similarity", 0.6, "--json"))["matches"]
    assert similar == [each for each in everything if each["similarity"] >= 0.6]
    nothing = run("match", cat, cheetah, "--min-similarity", 1)
    assert nothing.exit_code == 0
    assert "no match is left" in nothing.stdout


def test_the_method_can_be_chosen(cat: Path, cheetah: Path):
    chosen = found(run("match", cat, cheetah, "--method", "argmax", "--json"))
    assert chosen["method"] == {"method": "argmax"}
    zeroed = ["--variant", "zeroed", "--window", 7, "--temperature", 0.02]
    chosen = found(run("match", cat, cheetah, "--method", "softargmax", *zeroed, "--json"))
    assert chosen["method"] == {
        "method": "softargmax", "variant": "zeroed", "window": 7, "temperature": 0.02
    }  # fmt: skip


def test_the_picture_shows_both_images_at_equal_height(cat: Path, cheetah: Path, tmp_path: Path):
    assert run("match", cat, cheetah, "--draw", tmp_path / "out.png").exit_code == 0
    picture = Image.open(tmp_path / "out.png")
    assert picture.height == 512
    assert picture.width == pytest.approx(512 * 451 / 300 + 12 + 512, abs=2)


def test_features_are_written_whole(lite: Pipeline, cat: Path, tmp_path: Path):
    result = run("features", cat, "--out", tmp_path / "cat.npz")
    assert result.exit_code == 0
    assert "32 x 32 cells, 496 channels" in result.stdout
    loaded = FeatureMap.load(tmp_path / "cat.npz")
    np.testing.assert_array_equal(loaded.descriptors, lite.extract(cat).descriptors)
    assert [path.name for path in tmp_path.glob("*.npz")] == ["cat.npz"]


def test_doctor_finds_the_shipped_bundle():
    findings = json.loads(run("doctor", "--json").stdout)
    assert findings["healthy"]
    assert any(state.startswith("ok, fp32") for state in findings["bundles"].values())
    assert findings["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    people = run("doctor")
    assert people.exit_code == 0
    assert "nothing built yet" in people.stdout
