from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from geoaware.export.cli import geoexport
from geoaware.runtime import Bundle
from geoaware.runtime.bundle import home
from geoaware.runtime.cli import georun

Built = Callable[[str], Bundle]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(geoexport, [str(argument) for argument in arguments])


@pytest.fixture
def tiny_at_home(built: Built) -> Path:
    return Path(shutil.copytree(built("fp32").path, home() / "lite-64px"))


def test_build_finds_what_is_built(tiny_at_home: Path):
    result = run("build", "lite", "--frame", 64)
    assert result.exit_code == 0, result.stderr
    assert f"already built (--force builds it again): {tiny_at_home}" in result.stdout
    as_json = run("build", "--frame", 64, "--json")
    assert json.loads(as_json.stdout)["name"] == "lite-64px"
    assert "resolving weights" in as_json.stderr


def test_build_to_match(cat: Path, cheetah: Path):
    """`georun match --build` builds on the way what is not built."""
    command = ["match", cat, cheetah, "--bundle", "lite-96px-fp16", "--build", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "geoaware.runtime", *command],
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert (report["bundle"]["name"], report["bundle"]["precision"]) == ("lite-96px-fp16", "fp16")
    assert "verifying against PyTorch" in done.stderr
    assert run("build", "lite", "--fp16", "--frame", 96).stdout.count("already built") == 1


def test_show_and_list_name_what_there_is(tiny_at_home: Path):
    shown = run("show", "lite-64px")
    assert "cosine min" in shown.stdout
    assert json.loads(run("show", tiny_at_home, "--json").stdout)["schema_version"] == 1
    listed = json.loads(run("list", "--json").stdout)
    recipes = {row["recipe"]: row for row in listed["recipes"]}
    assert recipes["lite"]["weights"] == "at hand"
    lacking = recipes["geo-sd15-dinov2-b"]["weights"]
    assert lacking == "missing: sd15, sd15.clip, sd15.captioner, dinov2-b, geoaware-sc"
    parts = {row["part"]: row for row in listed["parts"]}
    assert parts["sd15"]["licence"].startswith("CreativeML OpenRAIL-M: https://")
    assert parts["sd15.captioner"]["weights"].startswith("download odise_label_coco_50e-")
    assert [row["state"].split()[0] for row in listed["bundles"]] == ["built", "shipped"]
    assert "Apache-2.0" in run("list").stdout


def test_verify_repeats_the_comparison(tiny_at_home: Path):
    figures = json.loads(run("verify", "lite-64px", "--json").stdout)
    assert figures["relative_error"] <= 1e-4
    assert "of matches agree" in run("verify", tiny_at_home).stdout


def test_georun_uses_the_bundle(tiny_at_home: Path, cat: Path, cheetah: Path):
    arguments = ["match", str(cat), str(cheetah), "--bundle", "lite-64px", "--json"]
    report = json.loads(CliRunner().invoke(georun, arguments).stdout)
    assert report["bundle"]["name"] == "lite-64px"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["build", "nope"], 2, "no recipe 'nope'"),
        (["build", "--weights", "efficientnet-lite0"], 2, "write PART=SOURCE"),
        (["build", "--weights", "dinov2-b=x"], 2, "has no such part"),
        (["build", "--weights", "efficientnet-lite0=nothing.pth"], 2, "no such file or folder"),
        (["build", "--frame", "500"], 2, "use a multiple of 16"),
        (["build", "--frame", "80"], 2, "divisible by 32"),
        (["build", "--precision", "fp8"], 2, "'fp8' is not one of"),
        (["build", "--fp16", "--compact"], 2, "--compact is for fp32"),
        (["build", "--fp16", "--precision", "int8"], 2, "exclude each other"),
        (["build", "--out", "/proc/bundle"], 2, "/proc: cannot be written"),
        (["verify", "lite", "--weights", "a=b"], 2, "has no such part"),
        (["build", "--out", "/proc/nothing/bundle"], 2, "cannot be written"),
        (["show", "nope"], 2, "not built; build it: geoexport build nope"),
        (["verify", "nope"], 2, "not built"),
    ],
)
def test_mistakes_get_one_line(arguments: list[str], status: int, message: str):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    errors = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert errors[0].startswith("geoexport: error: ")
    assert message in errors[0]
    assert not list(home().glob("[!.]*"))


def test_help_does_not_import_torch():
    program = (
        "import sys; sys.argv = ['geoexport', 'build', '--help']\n"
        "from geoaware.export.cli import geoexport\n"
        "try: geoexport()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'pydantic', 'rich', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
