"""The kernels compile for every architecture, into the instructions their design counts on."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from geoaware.kernels.cuda.compilers import Nvrtc
from tests.cuda_on_host.build import ENTRY, KERNELS

from .toolkit import Compiled, compiled, instructions, missing, program

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
FILES = tuple(sorted(each.stem for each in (KERNELS / "cuda").glob("*.cu")))

needs_nvcc = pytest.mark.skipif(not program("nvcc"), reason=missing("nvcc"))
needs_nvdisasm = pytest.mark.skipif(not program("nvdisasm"), reason=missing("nvdisasm"))

WIDE_LOADS = r"LDG\.E\.128"
TENSOR_CORES = r"HMMA\.(16816|1688)\.F32"
FRAGMENT_LOADS = r"LDSM\.16\.M88\.4"
WIDE_COPIES = r"LDGSTS\.E\.BYPASS\.128"  # from sm_80 on; before, loads and stores of 16 bytes

# kernels: what their machine code must contain
COUNTED_ON = {
    r"nearest_few_f32|measure_f(32|16)|nearest_rows_f(32|16)|gather_rows": [WIDE_LOADS],
    r"windows_f(32|16)": [WIDE_LOADS],
    r"nearest_few_f16": [WIDE_LOADS, TENSOR_CORES],
    r"(nearest_dense|nearest_dense_below|both_ways)_f16": [
        TENSOR_CORES, FRAGMENT_LOADS, WIDE_COPIES,
    ],
    r"(nearest_dense|nearest_dense_below|both_ways)_f32": [r"LDS\.(U\.)?128", WIDE_COPIES],
}  # fmt: skip


def kernels_of(file: str) -> set[str]:
    source = (KERNELS / "cuda" / f"{file}.cu").read_text("utf-8")
    return {name for _, name in ENTRY.findall(source)}


def all_compiled(architecture: str) -> dict[str, Compiled]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda file: compiled(file, architecture), FILES)
        return dict(zip(FILES, made, strict=True))


def test_every_file_has_kernels():
    assert FILES
    assert all(kernels_of(file) for file in FILES)


@needs_nvcc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvcc_compiles_without_warnings_and_without_spills(architecture: str):
    for file, result in all_compiled(architecture).items():
        assert result.cubin.is_file(), result.log
        assert result.usage.keys() == kernels_of(file)
        spilt = {kernel: bytes_ for kernel, bytes_ in result.usage.items() if any(bytes_)}
        assert not spilt, f"{file}: (stack, spill stores, spill loads) in bytes: {spilt}"


@pytest.mark.parametrize("file", FILES)
def test_nvrtc_compiles_without_the_toolkits_headers(file: str):
    try:
        nvrtc = Nvrtc()
    except (ImportError, RuntimeError) as problem:
        pytest.skip(f"no NVRTC here: pip install cuda-bindings nvidia-cuda-nvrtc ({problem})")
    assert nvrtc.cubin(KERNELS / "cuda" / f"{file}.cu", "sm_90")[:4] == b"\x7fELF"


@needs_nvcc
@needs_nvdisasm
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90"])
def test_the_machine_code_has_what_the_design_counts_on(architecture: str):
    code = {}
    for result in all_compiled(architecture).values():
        assert result.cubin.is_file(), result.log
        code |= instructions(result.cubin)
    for kernels, expected in COUNTED_ON.items():
        found = [name for name in code if re.fullmatch(kernels, name)]
        assert found, f"no kernel is called {kernels}"
        for name in found:
            for instruction in expected:
                if instruction == WIDE_COPIES and architecture == "sm_75":
                    instruction = WIDE_LOADS
                assert re.search(instruction, code[name]), f"{name} has no {instruction}"


@needs_nvcc
@needs_nvdisasm
def test_no_kernel_uses_local_memory():
    for file, result in all_compiled("sm_90").items():
        assert result.cubin.is_file(), result.log
        for name, code in instructions(result.cubin).items():
            assert not re.search(r"\b(LDL|STL)\b", code), f"{file}: {name}"
