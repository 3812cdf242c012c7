"""SPair-71k's own pair list: every image goes through the network once, not once for every pair."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.synthetic import random_bundle, spair
from geoaware.runtime.cli import georun
from geoaware.runtime.extractor import Extractor

TEST_PAIRS, TEST_IMAGES = 12_234, 481  # counted in the official list; all splits have 1,800


def test_an_image_is_extracted_once_for_all_its_pairs(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    layout = data / "SPair-71k-layout"
    if not layout.is_dir():
        pytest.skip("no official pair list of SPair-71k")
    spair(tmp_path / "spair", layout, keypoints=3, size=(50, 40))
    bundle = random_bundle(tmp_path / "random", side=32, cells=4, channels=8)

    runs = []
    extract = Extractor.descriptors
    monkeypatch.setattr(
        Extractor, "descriptors", lambda self, image: runs.append(1) or extract(self, image)
    )
    command = ["eval", "spair", "--root", str(tmp_path / "spair"), "--bundle", str(bundle.path)]
    done = CliRunner().invoke(georun, [*command, "--json"])
    assert done.exit_code == 0, done.output
    results = json.loads(done.stdout)
    assert results["dataset"]["pairs"] == TEST_PAIRS
    assert results["dataset"]["images"] == len(runs) == TEST_IMAGES
