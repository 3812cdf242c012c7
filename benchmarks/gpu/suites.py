"""The tests marked `gpu`, and a match, with the launcher that GEOAWARE_CUDA names."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from geoaware.kernels.cuda.errors import CudaError
from geoaware.kernels.cuda.open import chosen_launcher

from .inputs import Sizes
from .outcomes import Case, Figures, MissingError, lacking, require

ROOT = Path(__file__).parents[2]
MISSING = re.compile(r"ModuleNotFoundError: No module named '(?!geoaware|tests|benchmarks).*'")
WITH_MODELS = "pydantic", "onnxruntime"  # what the folders of tests beside the kernels' import


def cases() -> list[Case]:
    """The kernels' tests by file, what else runs on a GPU, and how long a match takes from Python.

    After a kernel that fails, a process can use its GPU no more: so each file has one of its own.
    """
    try:
        chosen_launcher()
    except CudaError as error:
        return [("launcher", partial(lacking, str(error)))]
    files = sorted((ROOT / "tests" / "kernels" / "cuda").glob("test_*.py"))
    return [
        *((each.name, partial(suite, [each], "tests/kernels")) for each in files),
        ("tests of engines, extraction and matching", models),
        (f"match of {Sizes().points} points, float16", match),
    ]


def models() -> Figures:
    """The tests of what runs models on the GPU."""
    require(*WITH_MODELS)
    return suite([ROOT / "tests" / each for each in ("runtime", "export")], "tests")


def match() -> Figures:
    """A match of a few points, of which launching takes a part that depends on the launcher."""
    from .kernels import Kernels
    from .machine import gpu_bench

    return Kernels(gpu_bench(), Sizes()).match("float16")


def suite(paths: list[Path], top: str) -> Figures:
    """Run the tests marked `gpu` in files or folders; `top` is where their conftest.py begins.

    Raises MissingError where pytest is not installed or no test could run, RuntimeError where one
    fails.
    """
    require("pytest")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu and not slow", "-q", "-ra"]
        command += ["--continue-on-collection-errors", "--maxfail=10", "--tb=short"]
        command += [f"--confcutdir={top}", f"--junitxml={report}", *map(str, paths)]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if not report.is_file():
            raise RuntimeError(f"pytest ended with code {code}")
        return counted(report)


def counted(report: Path) -> Figures:
    """How many tests passed, and why others were skipped.

    A file of tests that imports what is not installed counts as skipped.
    """
    tests = list(ElementTree.parse(report).iter("testcase"))
    failed, reasons, passed = [], [], 0
    for test in tests:
        problems = [*test.iter("failure"), *test.iter("error")]
        skipped = [str(each.get("message")) for each in test.iter("skipped")]
        missing = [found[0] for each in problems if (found := MISSING.search(each.text or ""))]
        if problems and not missing:
            failed.append(_name(test))
        elif missing or skipped:
            reasons.append([*missing, *skipped][0])
        else:
            passed += 1
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(tests)} failed: {', '.join(sorted(failed))}")
    different = sorted(set(reasons))
    if not passed:
        raise MissingError("; ".join(different) or "no test there is marked gpu")
    return {"passed": passed, "skipped": len(reasons), "reasons": different}


def _name(test: ElementTree.Element) -> str:
    return f"{test.get('classname')}.{test.get('name')}".strip(".")
