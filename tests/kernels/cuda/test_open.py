"""What is said where something is missing."""

from __future__ import annotations

import pytest

from geoaware.kernels.cuda import compilers, libcuda
from geoaware.kernels.cuda import open as opening
from geoaware.kernels.cuda.describe import describe
from geoaware.kernels.cuda.errors import CudaError, NoDriverError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Which packages are found."""
    packages: set[str] = set()
    monkeypatch.delenv(opening.VARIABLE, raising=False)
    monkeypatch.setattr(opening, "find_spec", lambda name: object() if name in packages else None)
    return packages


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcuda, "LIBRARY", "libcuda-of-nobody.so.1")
    for cached in (libcuda._library, libcuda._function):
        cached.cache_clear()
    monkeypatch.setattr(opening, "_opened", {})


def test_pycuda_goes_before_nvidias_bindings(installed: set[str]) -> None:
    installed.add("cuda.bindings")
    assert opening.chosen_launcher() == "cuda-core"
    installed.add("pycuda")
    assert opening.chosen_launcher() == "pycuda"


def test_the_variable_chooses(installed: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    installed.update({"pycuda", "cuda.bindings"})
    monkeypatch.setenv("GEOAWARE_CUDA", "cuda-core")
    assert opening.chosen_launcher() == "cuda-core"
    monkeypatch.setenv("GEOAWARE_CUDA", "numba")
    with pytest.raises(CudaError, match="GEOAWARE_CUDA is 'numba'; it may be pycuda or cuda-core"):
        opening.chosen_launcher()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (None, r"PyCUDA and cuda-bindings are not installed: pip install 'geoaware\[cuda\]'"),
        (
            "pycuda",
            r"GEOAWARE_CUDA is 'pycuda', which is not installed: pip install 'geoaware\[pycuda\]'",
        ),
        ("cuda-core", r"which is not installed: pip install 'geoaware\[cuda\]'"),
    ],
)
def test_a_launcher_that_is_not_installed(
    installed: set[str], monkeypatch: pytest.MonkeyPatch, asked: str | None, message: str
) -> None:
    if asked:
        monkeypatch.setenv("GEOAWARE_CUDA", asked)
    with pytest.raises(CudaError, match=message):
        opening.chosen_launcher()


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize("packages", [set(), {"cuda.bindings"}])
def test_without_a_driver_no_package_is_missed(installed: set[str], packages: set[str]) -> None:
    installed.update(packages)
    with pytest.raises(NoDriverError, match="no NVIDIA driver: libcuda-of-nobody.*install"):
        opening.open_device()


@pytest.mark.usefixtures("no_driver")
def test_describe_tells_all_that_is_missing(
    installed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilers, "_nvrtc", lambda: None)
    monkeypatch.setattr(compilers.shutil, "which", lambda *_, **__: None)
    parts = {part.name: part for part in describe()}
    assert list(parts) == ["driver", "GPU", "launcher", "compiler"]
    assert not any(part.found for part in parts.values())
    assert "no NVIDIA driver" in parts["driver"].missing
    assert "no NVIDIA driver" in parts["GPU"].missing
    assert "not installed" in parts["launcher"].missing
    assert "no compiler" in parts["compiler"].missing


def test_describe_tells_what_is_broken_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(compilers, "_nvrtc", broken)
    compiler = describe()[-1]
    assert compiler.found is None
    assert "the disk is gone" in compiler.missing
