"""Every mistake gets one clear line on stderr, exit 1 or 2, and leaves nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from geoaware.runtime.cli import georun

from ..test_images import broken_files

A, B = "{cat}", "{cheetah}"

CASES = {
    "no command": (["nonsense"], 2, "No such command 'nonsense'"),
    "no target": (["match", A], 2, "Missing argument 'TARGET...'"),
    "missing image": (["match", A, "{tmp}/none.jpg"], 2, "none.jpg: no such file"),
    "folder as image": (["match", "{tmp}", B], 2, "is a folder"),
    "empty image": (["match", A, "{tmp}/empty.jpg"], 1, "empty.jpg: is empty"),
    "text as image": (["match", A, "{tmp}/text.jpg"], 1, "text.jpg: is not an image"),
    "cut image": (["match", A, "{tmp}/cut.jpg"], 1, "cut.jpg: damaged image"),
    "huge image": (["match", "{tmp}/huge.png", B], 1, "more than 178 million pixels"),
    "point outside": (["match", A, B, "--points", "9,9 451.5,10"], 2, "point 2 (451.5, 10)"),
    "negative point": (["match", A, B, "--points", "-1,9"], 2, "point 1 (-1, 9) lies outside"),
    "point not a number": (["match", A, B, "--points", "nan,9"], 2, "point 1 (nan, 9)"),
    "half a point": (["match", A, B, "--points", "12"], 2, "'12' is not \"x,y\""),
    "letters": (["match", A, B, "--points", "a,b"], 2, "'a,b' is not \"x,y\""),
    "no points": (["match", A, B, "--points", " "], 2, "no point given"),
    "two ways": (["match", A, B, "--points", "1,1", "--grid", "2"], 2, "give one of"),
    "no grid": (["match", A, B, "--grid", "0"], 2, "0 is not in the range"),
    "missing points": (["match", A, B, "--points-file", "{tmp}/no.json"], 2, "no.json: no such"),
    "bad json": (["match", A, B, "--points-file", "{tmp}/bad.json"], 2, "bad.json: not JSON"),
    "odd json": (["match", A, B, "--points-file", "{tmp}/odd.json"], 2, "odd.json: must be [["),
    "empty json": (["match", A, B, "--points-file", "{tmp}/none.json"], 2, "holds no points"),
    "binary points": (["match", A, B, "--points-file", "{tmp}/huge.png"], 2, "read as text"),
    "wrong columns": (["match", A, B, "--points-file", "{tmp}/bad.csv"], 2, "found u, v"),
    "words in csv": (["match", A, B, "--points-file", "{tmp}/words.csv"], 2, "words.csv: line 3"),
    "string points": (["match", A, B, "--points-file", "{tmp}/str.json"], 2, "must be [["),
    "endless number": (["match", A, B, "--points-file", "{tmp}/long.json"], 2, "must be [["),
    "deep json": (["match", A, B, "--points-file", "{tmp}/deep.json"], 2, "deep.json: not JSON"),
    "long image name": (["match", A, "x" * 300], 2, "File name too long"),
    "long bundle name": (["match", A, B, "--bundle", "X" * 300], 2, "File name too long"),
    "long output name": (["match", A, B, "--out", "{tmp}/" + "x" * 300], 2, "File name too long"),
    "one output twice": (["match", A, B, "--out", "a", "--draw", "a"], 2, "another output"),
    "drawing on the source": (["match", A, B, "--draw", A], 2, "would replace an input"),
    "no similarity": (["match", A, B, "--min-similarity", "nan"], 2, "must be a number"),
    "unknown bundle": (["match", A, B, "--bundle", "nope"], 2, "geoexport build nope"),
    "not a bundle": (["match", A, B, "--bundle", "{tmp}/"], 2, "no bundle there"),
    "cuda": (["match", A, B, "--device", "cuda"], 1, "no NVIDIA driver"),
    "tensorrt": (["match", A, B, "--device", "tensorrt"], 2, "has no tensorrt engine; build"),
    "even window": (["match", A, B, "--window", "4"], 2, "must be odd"),
    "no temperature": (["match", A, B, "--temperature", "0"], 2, "must lie between"),
    "temperature of 1e300": (["match", A, B, "--temperature", "1e300"], 2, "must lie between"),
    "empty argument": (["match", A, B, "--out", ""], 2, "is a shell variable not set?"),
    "empty value": (["match", A, B, "--out="], 2, "is a shell variable not set?"),
    "argmax window": (["match", A, B, "--method", "argmax", "--window", "5"], 2, "belong to"),
    "zeroed alone": (["match", A, B, "--variant", "zeroed"], 2, "zeroed needs --window"),
    "similarity of 2": (["match", A, B, "--min-similarity", "2"], 2, "is not in the range"),
    "draw nowhere": (["match", A, B, "--draw", "{tmp}/no/a.png"], 2, "does not exist"),
    "draw on a folder": (["match", A, B, "--draw", "{tmp}"], 2, "is a folder"),
    "out nowhere": (["match", A, B, "--out", "{tmp}/no/a.json"], 2, "does not exist"),
    "features nowhere": (["features", A, "--out", "{tmp}/no/a.npz"], 2, "does not exist"),
    "features of text": (["features", "{tmp}/text.jpg", "--out", "{tmp}/a.npz"], 1, "not an image"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that are not what they should be."""
    folder = tmp_path_factory.mktemp("bad")
    broken_files(folder)
    Image.new("1", (14000, 13000)).save(folder / "huge.png")
    (folder / "bad.json").write_text("[[1, 2")
    (folder / "odd.json").write_text('{"dots": 3}')
    (folder / "none.json").write_text("[]")
    (folder / "str.json").write_text('["12", "34"]')
    (folder / "long.json").write_text(f"[[1, {'9' * 400}]]")
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "bad.csv").write_text("u,v\n1,2\n")
    (folder / "words.csv").write_text("x,y\n1,2\nthree,4\n")
    return folder


@pytest.mark.parametrize(("arguments", "status", "message"), CASES.values(), ids=CASES.keys())
def test_one_clear_line(
    arguments: list[str],
    status: int,
    message: str,
    bad: Path,
    cat: Path,
    cheetah: Path,
    no_gpu: None,
):
    before = sorted(bad.iterdir())
    filled = [each.format(cat=cat, cheetah=cheetah, tmp=bad) for each in arguments]
    result = CliRunner().invoke(georun, filled)
    assert (result.exit_code, result.stdout) == (status, "")
    [*_, line] = errors = result.stderr.splitlines()
    assert [each for each in errors if not each.startswith("device:")] == [line]
    assert line.startswith("georun: error: ")
    assert message in line
    assert sorted(bad.iterdir()) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that refuses even root")
@pytest.mark.parametrize("option", ["--out", "--draw"])
def test_outputs_that_cannot_be_written_are_refused(cat: Path, cheetah: Path, option: str):
    result = CliRunner().invoke(georun, ["match", str(cat), str(cheetah), option, "/proc/a.png"])
    assert result.exit_code == 1
    assert "georun: error: /proc/a.png: cannot be written" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_an_error(cat: Path, cheetah: Path):
    result = CliRunner().invoke(georun, ["match", str(cat), str(cheetah), "--out", "/dev/full"])
    assert result.exit_code == 1
    assert "georun: error: /dev/full: cannot be written: No space left" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_full_standard_output_is_an_error(cat: Path, cheetah: Path, more: list[str]):
    command = [sys.executable, "-m", "geoaware.runtime", "match", cat, cheetah, *more]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == ["georun: error: cannot write: No space left on device"]


def test_names_and_terminals_of_other_encodings_work(cat: Path, cheetah: Path, tmp_path: Path):
    odd = tmp_path / os.fsdecode(b"\xff\xfe.png")
    odd.write_bytes(cat.read_bytes())
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "geoaware.runtime", "match", odd, cheetah, "--grid", "1"]
    for more in ([], ["--json"], ["--out", tmp_path / "out.json"]):
        subprocess.run([*command, *more], env=environment, check=True, capture_output=True)


def test_a_bundle_that_cannot_be_built_is_an_error(cat: Path, cheetah: Path):
    command = [sys.executable, "-m", "geoaware.runtime", "match", cat, cheetah, "--build"]
    done = subprocess.run(
        [*command, "--bundle", "nope"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "bundle 'nope' could not be built" in done.stderr
    assert done.stdout == ""


def test_help_answers_at_once_and_imports_nothing_heavy():
    program = (
        "import sys; sys.argv = ['georun', '--help']\n"
        "from geoaware.runtime.cli import georun\n"
        "try: georun()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'onnxruntime', 'PIL', 'pydantic', 'rich', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
