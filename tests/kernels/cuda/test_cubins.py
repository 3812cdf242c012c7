"""Compiling kernels, and keeping what was compiled. No GPU is needed for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from geoaware.kernels.cuda import compilers, cubins
from geoaware.kernels.cuda.errors import CudaError
from geoaware.kernels.home import home

SOURCE = """
#include "warp.cuh"
extern "C" __global__ void sum(float* x) { x[0] = warp_sum(x[threadIdx.x]); }
"""


@dataclass
class Counting:
    """A compiler that counts what it is asked."""

    title: str = "counting 1"
    asked: list[tuple[str, str]] = field(default_factory=list)

    def cubin(self, source: Path, architecture: str) -> bytes:
        self.asked.append((source.stem, architecture))
        return f"{source.read_text()} for {architecture} by {self.title}".encode()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cubins, "SOURCES", tmp_path)
    path = tmp_path / "kernels.cu"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch, source: Path) -> Counting:
    compiler = Counting()
    monkeypatch.setattr(cubins, "_compiler", lambda: compiler)
    return compiler


def real(compiler: type) -> compilers.Compiler:
    if compiler is compilers.Nvrtc:
        pytest.importorskip("cuda.bindings", reason="no NVRTC here: pip install 'geoaware[cuda]'")
        return compilers.Nvrtc()
    program = compilers._nvcc()
    return compilers.Nvcc(program) if program else pytest.skip("no nvcc here")


@pytest.mark.parametrize("kind", [compilers.Nvrtc, compilers.Nvcc])
def test_both_compilers_make_cubins_for_the_architecture(source: Path, kind: type) -> None:
    made = real(kind).cubin(source, "sm_89")
    assert made[:4] == b"\x7fELF"
    assert b".text.sum" in made
    assert made[49] == 89  # in the flags of the ELF header


@pytest.mark.parametrize("kind", [compilers.Nvrtc, compilers.Nvcc])
def test_what_the_compiler_says_is_told(source: Path, kind: type) -> None:
    source.write_text('extern "C" __global__ void sum(float* x) { x[0] = nowhere; }')
    with pytest.raises(CudaError, match=r'(?s)does not compile kernels.cu for sm_80.*"nowhere"'):
        real(kind).cubin(source, "sm_80")


def test_titles_tell_compilers_and_versions_apart() -> None:
    titles = {real(kind).title for kind in (compilers.Nvrtc, compilers.Nvcc)}
    assert len(titles) == 2
    assert all(title.split()[1][0].isdigit() for title in titles)


def test_an_update_of_nvrtc_is_another_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    full = real(compilers.Nvrtc).title
    release = ".".join(full.split(".")[:2])
    titles = {release: "0.0.1", f"{release}.7": f"{release.split()[1]}.7"}
    for title, installed in titles.items():
        monkeypatch.setattr(compilers, "version", lambda _, found=installed: found)
        assert compilers.Nvrtc().title == title


def test_a_cubin_is_compiled_once(counting: Counting) -> None:
    first, second = cubins.cubin("kernels", "sm_90"), cubins.cubin("kernels", "sm_90")
    assert first == second
    assert counting.asked == [("kernels", "sm_90")]
    assert [each.suffix for each in (home() / "kernels").iterdir()] == [".cubin"]


def test_other_sources_architectures_and_compilers_compile_anew(
    counting: Counting, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {cubins.cubin("kernels", "sm_90"), cubins.cubin("kernels", "sm_89")}
    counting.title = "counting 2"
    made.add(cubins.cubin("kernels", "sm_90"))
    source.write_text(SOURCE + "// changed\n")
    made.add(cubins.cubin("kernels", "sm_90"))
    include = tmp_path / "include"
    include.mkdir()
    (include / "other.cuh").write_text("// changed too\n")
    monkeypatch.setattr(cubins, "INCLUDE", include)
    cubins.cubin("kernels", "sm_90")
    assert len(made) == 4
    assert len(counting.asked) == 5


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_copy_is_compiled_anew(counting: Counting, damage: bytes | None) -> None:
    made = cubins.cubin("kernels", "sm_90")
    [kept] = (home() / "kernels").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + b"?" if damage is None else damage)
    assert cubins.cubin("kernels", "sm_90") == made
    assert len(counting.asked) == 2
    assert kept.read_bytes() == whole


def test_without_a_place_to_keep_it_every_call_compiles(
    counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GEOAWARE_HOME", str(tmp_path / "file"))
    assert cubins.cubin("kernels", "sm_90") == cubins.cubin("kernels", "sm_90")
    assert len(counting.asked) == 2


def test_nvcc_is_looked_for_where_toolkits_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "toolkit" / "bin" / "nvcc"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 12.9, V12.9.41'\n")
    program.chmod(0o755)
    monkeypatch.setattr(compilers, "_nvrtc", lambda: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "toolkit"))
    assert compilers.compiler().title == "nvcc 12.9.41"
    program.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(CudaError, match="does not run"):
        compilers.compiler()
    program.write_text("#!/bin/sh\n")
    with pytest.raises(CudaError, match="does not tell its version.*install"):
        compilers.compiler()


def test_an_interrupt_while_it_is_kept_comes_through(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def interrupted(path: Path, target: Path) -> None:
        replace(path, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cubins.cubin("kernels", "sm_90")
    assert cubins.cubin("kernels", "sm_90")
    assert len(counting.asked) == 1
