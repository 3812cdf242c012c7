from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from geoaware.examples import FOLDER
from geoaware.kernels.cuda.errors import CudaError
from geoaware.kernels.cuda.open import open_device
from geoaware.runtime import Pipeline


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none; in one line, as it is one reason."""
    if item.get_closest_marker("gpu") and (reason := _no_gpu()):
        pytest.skip(reason)


@cache
def _no_gpu() -> str:
    try:
        open_device()
    except CudaError as error:
        return str(error)
    return ""


@pytest.fixture(scope="session")
def lite() -> Pipeline:
    """The pipeline that ships with the package."""
    return Pipeline.load()


@pytest.fixture(scope="session")
def cat() -> Path:
    return FOLDER / "chelsea.png"


@pytest.fixture(scope="session")
def cheetah() -> Path:
    return FOLDER / "cheetah1.jpg"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the datasets; the test is skipped where there is none."""
    folder = os.environ.get("GEOAWARE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("GEOAWARE_DATA names no folder of datasets")
    return Path(folder)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or touches the bundles of whoever runs it."""
    monkeypatch.setenv("GEOAWARE_HOME", str(tmp_path / "home"))
