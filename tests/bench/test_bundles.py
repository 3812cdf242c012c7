"""Bundles to measure: shipped, or built once by geoexport and kept until the exporter changes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from geoaware.bench.bundles import bundle
from geoaware.kernels.home import home
from geoaware.runtime import Bundle
from geoaware.runtime.errors import GeoAwareError, InputError


class Notes(list[str]):
    """A watch that remembers."""

    def note(self, line: str) -> None:
        self.append(line)


class Geoexport:
    """Stands in for the program: lists recipes, and builds the shipped bundle whatever is asked.

    builds: what it was asked to build, and how. error: what it fails with.
    """

    def __init__(self) -> None:
        self.builds: list[list[str]] = []
        self.error: tuple[int, str] | None = None

    def run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        verb, *words = command[3:]
        if verb == "list":
            weights = {"lite": "at hand", "dinov2-s": "missing: dinov2-s"}
            listed = [{"recipe": name, "weights": each} for name, each in weights.items()]
            return subprocess.CompletedProcess(command, 0, json.dumps({"recipes": listed}), "")
        self.builds.append(words)
        if self.error:
            return subprocess.CompletedProcess(command, self.error[0], "", self.error[1])
        folder = Path(words[words.index("--out") + 1])
        shutil.copytree(Bundle.open().path, folder, dirs_exist_ok=True)
        return subprocess.CompletedProcess(command, 0, "built", "")


@pytest.fixture
def geoexport(monkeypatch: pytest.MonkeyPatch) -> Geoexport:
    program = Geoexport()
    monkeypatch.setattr("geoaware.bench.bundles.subprocess.run", program.run)
    return program


@pytest.mark.parametrize("frame", [None, 512])
def test_lite_is_the_one_that_ships(frame: int | None, geoexport: Geoexport):
    assert bundle("lite", "fp32", frame, Notes()).path == Bundle.open().path
    assert not geoexport.builds


def test_another_is_built_once(geoexport: Geoexport):
    notes = Notes()
    first = bundle("lite", "int8", 256, notes)
    assert bundle("lite", "int8", 256, notes) == first
    folder = home() / "bench" / "lite-256px-int8"
    assert first.path == folder
    assert notes == ["building lite-256px-int8, once"]
    words = ["lite", "--precision", "int8", "--out", str(folder), "--force", "--frame", "256"]
    assert geoexport.builds == [words]


def test_weights_are_random_where_trained_ones_are_not_at_hand(geoexport: Geoexport):
    bundle("dinov2-s", "fp32", None, Notes())
    [words] = geoexport.builds
    assert words[-2:] == ["--random-weights", "0"]


def test_it_is_built_again_where_its_manifest_is_damaged(geoexport: Geoexport):
    built = bundle("lite", "int8", None, Notes())
    built.file("manifest.json").write_text("{}", "utf-8")
    assert bundle("lite", "int8", None, Notes()) == built
    assert len(geoexport.builds) == 2


def test_it_is_built_again_when_the_exporter_is_another(geoexport: Geoexport):
    bundle("lite", "int8", None, Notes())
    [stamp] = (home() / "bench").glob("*.exporter")
    stamp.write_text("of another exporter", "utf-8")
    bundle("lite", "int8", None, Notes())
    assert len(geoexport.builds) == 2
    bundle("lite", "int8", None, Notes())
    assert len(geoexport.builds) == 2


def test_a_recipe_that_is_not_there_is_an_input_error(geoexport: Geoexport):
    with pytest.raises(InputError, match="no recipe 'nosuch'; shipped: lite, dinov2-s"):
        bundle("nosuch", "fp32", None, Notes())
    assert not geoexport.builds


@pytest.mark.parametrize(("status", "kind"), [(1, GeoAwareError), (2, InputError)])
def test_a_build_that_fails_says_why_and_leaves_nothing(
    status: int, kind: type[GeoAwareError], geoexport: Geoexport
):
    geoexport.error = status, "a warning\ngeoexport: error: no such frame\n"
    with pytest.raises(GeoAwareError, match="geoexport build lite .*: no such frame") as caught:
        bundle("lite", "int8", None, Notes())
    assert type(caught.value) is kind
    geoexport.error = None
    bundle("lite", "int8", None, Notes())
    assert len(geoexport.builds) == 2


@pytest.mark.slow
def test_the_program_builds_what_is_asked():
    built = bundle("dinov2-s", "int8", 112, Notes()).verified()
    assert built.manifest.precision == "int8"
    assert built.manifest.recipe.frame.side == 112
