"""`georun data prepare`: what it prints, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from geoaware.runtime.cli import georun
from geoaware.runtime.cli.inputs import DATASET_NAMES
from geoaware.runtime.datasets import DATASETS

from ..datasets import test_folder
from ..datasets.http_server import Server, sends
from ..datasets.test_ap10k import annotated, few
from ..datasets.test_unpack import packed


def run(*arguments: object) -> Result:
    return CliRunner().invoke(georun, ["data", "prepare", *map(str, arguments)])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two cats and a dog: one pair of one species, two of two families."""
    folder = tmp_path / "AP-10K"
    folder.mkdir()
    return few(folder, annotated(1, "cat"), annotated(2, "cat"), annotated(3, "dog"))


@pytest.fixture
def archive(root: Path, tmp_path: Path) -> Path:
    files = {f"ap-10k/{path.name}": path.read_bytes() for path in root.glob("*.*")}
    return packed(tmp_path / "a.zip", "zip", files)


def cells(output: str) -> list[list[str]]:
    lines = [line for line in output.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_a_table_says_what_is_there(root: Path):
    result = run("ap10k", "--root", root)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "AP-10K in" in result.stdout
    assert cells(result.stdout) == [
        ["train", "intra-species", "0", "0", "0"],
        ["val", "intra-species", "0", "0", "0"],
        ["test", "intra-species", "1", "2", "0"],
        ["val", "cross-species", "0", "0", "0"],
        ["test", "cross-species", "0", "0", "0"],
        ["val", "cross-family", "0", "0", "0"],
        ["test", "cross-family", "2", "3", "0"],
    ]


def test_json_says_the_same(root: Path):
    (root / "0001.jpg").unlink()
    result = run("ap10k", "--root", root, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert (report["schema_version"], report["dataset"], report["root"]) == (1, "ap10k", str(root))
    assert report["splits"][-1] == {
        "split": "test", "setting": "cross-family", "pairs": 1, "images": 2, "skipped": 1,
        "problems": 1, "absent": None,
    }  # fmt: skip
    assert report["problems"] == [{"where": str(root / "0001.jpg"), "what": "no such image"}]


def test_problems_are_told_together_and_fail_only_where_asked(root: Path):
    (root / "0001.jpg").unlink()
    result = run("ap10k", "--root", root)
    assert (result.exit_code, result.stderr) == (0, f"{root / '0001.jpg'}: no such image\n")
    strict = run("ap10k", "--root", root, "--strict")
    assert (strict.exit_code, strict.output) == (1, result.output)
    assert run("ap10k", "--root", root, "--strict", "--json").exit_code == 1


def test_strict_is_content_where_there_are_no_problems(root: Path):
    assert run("ap10k", "--root", root, "--strict").exit_code == 0


def test_an_absent_split_is_no_failure(data: Path):
    result = run("spair", "--root", data / "SPair-71k-mini", "--strict")
    assert (result.exit_code, result.stderr) == (0, "")
    assert cells(result.stdout)[:3] == [
        ["train", "large", "absent", "", ""],
        ["val", "large", "absent", "", ""],
        ["test", "large", "100", "25", "0"],
    ]


def test_the_folder_is_found_under_geoaware_data(data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOAWARE_DATA", str(data))
    assert cells(run("pf-willow").stdout) == [["test", "", "900", "100", "0"]]


def test_ones_own_images_and_what_is_wrong_with_them(tmp_path: Path):
    images = [*map(test_folder.image, range(9)), test_folder.image(9, category="cup")]
    result = run("folder", "--root", test_folder.dataset(tmp_path, *images))
    assert result.exit_code == 0
    assert cells(result.stdout)[:3] == [
        ["train", "within", "42", "7", "1"], ["val", "within", "2", "2", "1"],
        ["test", "within", "absent", "", ""],
    ]  # fmt: skip
    assert result.stderr.endswith("photographs/9.png: its category 'cup' is none of mug\n")
    assert ": 1 problem, counted in every list" in " ".join(result.stdout.split())


def test_where_none_of_ones_own_images_is_in_order_it_fails(tmp_path: Path):
    images = [test_folder.image(n, keypoints={}) for n in range(2)]
    result = run("folder", "--root", test_folder.dataset(tmp_path, *images))
    assert (result.exit_code, result.stdout) == (1, "")
    *problems, error = result.stderr.splitlines()
    told = "has no visible keypoint; a pair needs 3 in common"
    assert problems == [
        f"{tmp_path / 'keypoints.json'}, image {n + 1}: photographs/{n}.png: {told}"
        for n in range(2)
    ]
    assert error.endswith(f"{tmp_path}: no pair of Own dataset can be used: 2 problems")
    as_json = run("folder", "--root", tmp_path, "--json")
    assert (as_json.exit_code, as_json.stderr.splitlines()) == (1, [error])
    assert len(json.loads(as_json.stdout)["problems"]) == 2


def test_images_that_all_train_do_not_suffice_for_training(tmp_path: Path):
    images = [test_folder.image(n, split="train") for n in range(3)]
    result = run("folder", "--root", test_folder.dataset(tmp_path, *images), "--strict")
    assert result.exit_code == 0
    assert result.stderr == "the split val has no pairs (within); training needs some\n"


def test_an_archive_is_unpacked_and_read(archive: Path, tmp_path: Path):
    result = run("ap10k", "--root", tmp_path / "new", "--archive", archive)
    assert (result.exit_code, result.stderr) == (0, "")
    assert cells(result.stdout)[-1] == ["test", "cross-family", "2", "3", "0"]


def test_an_address_is_fetched_and_read(
    archive: Path,
    tmp_path: Path,
    server: Server,
):
    server.answers = [sends(archive.read_bytes())]
    result = run("ap10k", "--root", tmp_path / "new", "--url", server.url)
    assert (result.exit_code, result.stderr) == (0, "")
    assert cells(result.stdout)[-1] == ["test", "cross-family", "2", "3", "0"]


CASES = {
    "another dataset": (["tss"], 2, "'tss' is not one of"),
    "no dataset": ([], 2, "Missing argument"),
    "no folder": (["spair", "--root", "{tmp}/none"], 2, "none: no such folder; SPair-71k is a fo"),
    "empty folder": (["spair", "--root", "{tmp}"], 1, "no pair of SPair-71k can be used"),
    "no folder of one's own": (["folder"], 2, "Own dataset: give its folder with --root; its"),
    "no folder known": (["spair"], 2, "give its folder with --root, or set GEOAWARE_DATA"),
    "no archive": (["spair", "--root", "{tmp}/x", "--archive", "{tmp}/none"], 2, "no such file"),
    "archive into a file": (["spair", "--root", "{tmp}/a.zip", "--archive", "{tmp}/a.zip"], 2,
                            "a.zip: is a file; name a folder"),
    "archive over": (["ap10k", "--root", "{tmp}/AP-10K", "--archive", "{tmp}/a.zip"], 2,
                     "already holds 0001.jpg"),
    "no archive at all": (["spair", "--root", "{tmp}/x", "--archive", "{tmp}/AP-10K/0001.jpg"], 1,
                          "no .zip or .tar archive that can be read"),
    "both": (["spair", "--root", "{tmp}/x", "--archive", "a", "--url", "b"], 2, "give one of"),
    "hash of nothing": (["spair", "--root", "{tmp}", "--sha256", "0" * 64], 2, "give --archive or"),
    "half a hash": (["spair", "--root", "{tmp}/x", "--archive", "{tmp}/a.zip", "--sha256", "ab"],
                    2, "must be 64 hexadecimal digits"),
    "other hash": (["spair", "--root", "{tmp}/x", "--archive", "{tmp}/a.zip", "--sha256",
                    "0" * 64], 1, "a.zip: has SHA-256"),
    "no address": (["spair", "--root", "{tmp}/x", "--url", "ftp://host/a.zip"], 2, "https://host/"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "status", "message"), CASES.values(), ids=CASES.keys())
def test_one_clear_line(
    arguments: list[str],
    status: int,
    message: str,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("GEOAWARE_DATA", raising=False)
    before = sorted(tmp_path.rglob("*"))
    result = run(*(each.format(tmp=tmp_path) for each in arguments))
    assert (result.exit_code, result.stdout) == (status, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("georun: error: ")
    assert message in line
    assert sorted(tmp_path.rglob("*")) == before


def test_the_datasets_are_those_that_can_be_read():
    assert tuple(DATASETS) == DATASET_NAMES


def test_help_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from geoaware.runtime.cli.data import data\n"
        "try: data(['prepare', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'PIL', 'pydantic', 'rich', 'urllib.request'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
