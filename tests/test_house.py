"""The floor plan: what imports what, what installs, what the documents promise."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "transformers", "diffusers", "torchvision"}
FLOORS = ("kernels", "runtime")  # from the ground up; train and export share the top
TOP = ("train", "export")
THE_HEAD = "train.head"  # the one module of train that export knows
# The commands of the runtime that measure the floors above it too, in `benchmarks/bench`.
BENCH = ("bench.py", "bench_tables.py")


def imports(path: Path) -> set[str]:
    """Every module a file imports, relative ones as `floor.module`."""
    found = set()
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            found.add(".".join([*above, *filter(None, [node.module])]))
    return found


@pytest.mark.parametrize("floor", ["kernels", "runtime"])
def test_the_lower_floors_never_import_torch(floor: str):
    for path in (ROOT / floor).rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & HEAVY, path


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_from_floors_below(floor: str):
    above = (*FLOORS[FLOORS.index(floor) + 1 :], *TOP)
    for path in (ROOT / floor).rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & set(above), path


@pytest.mark.parametrize("floor", ["kernels", "runtime", "export", "train"])
def test_the_floors_know_nothing_of_the_benchmarks(floor: str):
    commands = {ROOT / "runtime" / "cli" / name for name in BENCH}
    for path in {*(ROOT / floor).rglob("*.py")} - commands:
        assert not {name.split(".")[0] for name in imports(path)} & {"bench", "benchmarks"}, path


def test_export_takes_the_head_from_train_and_nothing_else():
    for path in (ROOT / "export").rglob("*.py"):
        taken = {name for name in imports(path) if name.split(".")[0] == "train"}
        assert taken <= {THE_HEAD}, path
    below = {name.split(".")[0] for name in imports(ROOT / "train" / "head.py")}
    assert not below & {"train", "export"}, "or modules would import each other in a circle"


def test_what_installs_is_complete():
    found = distributions(name="geoaware")
    files = {str(file) for each in found for file in each.files or ()}
    if "geoaware/runtime/pipeline.py" not in files:
        pytest.skip("an editable install lists no files")
    for name in (
        "geoaware/runtime/bundles/lite/manifest.json",
        "geoaware/runtime/bundles/lite/features.onnx",
        "geoaware/runtime/py.typed",
        "geoaware/kernels/py.typed",
        "geoaware/export/recipes/lite.yaml",
        "geoaware/export/measured.json",
        "geoaware/examples/chelsea.png",
        "geoaware/runtime/datasets/keypoint_groups.json",
        "geoaware/train/presets/animalpose-lite.yaml",
        "geoaware/runtime/evaluation/report/report.html.j2",
        "geoaware/bench/report/tables.py",
    ):
        assert name in files


def test_a_match_imports_no_torch(tmp_path: Path):
    program = (
        "import sys\n"
        "from geoaware.examples import PHOTOGRAPHS\n"
        "from geoaware.runtime import Pipeline\n"
        "assert len(Pipeline.load().match(*PHOTOGRAPHS[:2])) == 25\n"
        f"assert not {HEAVY!r} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)


def test_the_readmes_example_runs_and_is_the_one_in_examples(tmp_path: Path):
    readme = (ROOT / "README.md").read_text("utf-8")
    [example] = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert example in (ROOT / "examples" / "match.py").read_text("utf-8")
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "match.py"],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 6


def test_links_in_the_documents_lead_somewhere():
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text("utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_numbers_in_the_documents_are_those_of_the_result_files():
    from benchmarks import readme as tables

    readme = (ROOT / "README.md").read_text("utf-8")
    assert tables.accuracy_table() in readme
    assert tables.speed_table() in readme
    evaluation = (ROOT / "docs" / "evaluation.md").read_text("utf-8")
    assert tables.protocol_table() in evaluation
    assert tables.store_table() in evaluation
    assert tables.scale_table() in evaluation
    backbones = (ROOT / "docs" / "backbones.md").read_text("utf-8")
    assert tables.backbones_table() in backbones
    assert tables.precision_table() in backbones
    performance = (ROOT / "docs" / "performance.md").read_text("utf-8")
    assert all(table in performance for table in tables.performance_tables().values())
    assert tables.half_table() in performance
    training = (ROOT / "docs" / "training.md").read_text("utf-8")
    assert tables.trained_table() in training
    assert tables.trained_alphas_table() in training
    assert tables.ablation_table() in training


def test_the_training_page_has_every_setting():
    from benchmarks.readme import settings_table
    from geoaware.train.finetuning.settings import FinetuneSettings
    from geoaware.train.settings import HeadSettings

    training = (ROOT / "docs" / "training.md").read_text("utf-8")
    for schema in (HeadSettings, FinetuneSettings):
        assert settings_table(schema) in training


def test_the_sizes_that_are_listed_are_those_measured():
    measured = json.loads((ROOT / "export" / "measured.json").read_text("utf-8"))
    results = json.loads((ROOT / "benchmarks" / "results" / "backbones.json").read_text("utf-8"))
    assert set(measured) <= {path.stem for path in (ROOT / "export" / "recipes").iterdir()}
    for recipe, figures in measured.items():
        row = results["results"][recipe]["fp32"]
        assert figures == {name: row[name] for name in figures}


@pytest.mark.parametrize("name", ["evaluation", "training"])
def test_the_pages_example_runs(name: str, tmp_path: Path):
    page = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    subprocess.run([sys.executable, "-c", example], check=True, cwd=tmp_path)
