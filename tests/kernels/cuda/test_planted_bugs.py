"""The builds that are to find mistakes find them, planted one by one in the kernels' own source."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from geoaware.kernels.cuda.errors import CudaError
from tests.cuda_on_host.build import KERNELS, cache_folder, missing
from tests.cuda_on_host.host_device import HostDevice

from .operations import OPERATIONS

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")

Build = Literal["plain", "race", "undefined"]
OUTSIDE = "illegal memory access: byte -?\\d+ of "
WRONG = "Not equal|not equal|Mismatch"


class Bug(NamedTuple):
    """One change of the source, what it breaks, and what has to be said about it by which build."""

    operation: str
    text: str  # that one header has once
    replacement: str
    build: Build
    said: str


BUGS = {
    # ---- barriers and waits ----
    "no barrier before a tile is used": Bug(
        "frame",
        "chunk, count);\n    __syncthreads();", "chunk, count);",
        "plain", WRONG,
    ),
    "no barrier after a tile is used": Bug(
        "frame",
        "    __syncthreads();  // the chunk before is read\n", "",
        "race", "race: read by .* and write by .*: static shared memory",
    ),
    "no barrier behind asynchronous copies": Bug(
        "both_directions",
        "    __syncthreads();  // this stage is there", "    // this stage is there",
        "plain", WRONG,
    ),
    "a wait for too little": Bug(
        "both_directions",
        "copy_async_wait<STAGES - 2>", "copy_async_wait<STAGES - 1>",
        "plain", f"{WRONG}|without waiting for its asynchronous copies",
    ),
    "no barrier before shared memory is used for something else": Bug(
        "crowded_windows",
        "    __syncthreads();  // nobody reads the stages any more\n", "",
        "race", "race: read by .* and write by .*: byte .* of dynamic shared memory",
    ),
    "no barrier between writing and reading a turned tile": Bug(
        "fused",
        "    __syncthreads();\n  }\n  for (int near", "  }\n  for (int near",
        "race", "race: |no thread of the block has written",
    ),
    "a sum in shared memory without __syncwarp": Bug(
        "windows",
        "  return merged_in_warp(threadIdx.x < warps ? of_warp[threadIdx.x] : no_cells(), "
        "sharpness);",
        "  for (int step = warps / 2; step; step /= 2)\n"
        "    if (threadIdx.x < step)\n"
        "      of_warp[threadIdx.x] = merged(of_warp[threadIdx.x], of_warp[threadIdx.x + step],"
        " sharpness);\n"
        "  return of_warp[0];",
        "race", "race: .*: static shared memory",
    ),
    "a barrier that only some threads reach": Bug(
        "pose",
        "  __syncthreads();\n  if (threadIdx.x >= 32) return;",
        "  if (threadIdx.x >= 32) return;\n  __syncthreads();",
        "plain", "another thread of the block has returned|deadlock",
    ),
    "half a warp in a shuffle of the whole": Bug(
        "pose",
        "if (threadIdx.x >= 32) return;\n  sum = ", "if (threadIdx.x >= 16) return;\n  sum = ",
        "plain", "names a lane that has returned|deadlock",
    ),
    # ---- memory ----
    "a row past the end of the target": Bug(
        "few_queries", "row < count &&", "row <= count &&", "plain", OUTSIDE,
    ),
    "a key past the end": Bug(
        "few_queries",
        "first_query + q < count", "first_query + q <= count",
        "plain", f"{OUTSIDE}|bytes written beside a buffer",
    ),
    "a window beyond the map's lower border": Bug(
        "windows",
        "high = min(peak_y + radius, height - 1) - top + 1;", "high = peak_y + radius - top + 1;",
        "plain", OUTSIDE,
    ),
    "a window beyond the map's upper border": Bug(
        "windows",
        "top = max(peak_y - radius, 0);", "top = peak_y - radius;",
        "plain", f"{OUTSIDE}|{WRONG}",
    ),
    "rows past the end of an image": Bug(
        "frame", "if (r < rows) word |=", "word |=", "plain", OUTSIDE,
    ),
    "a column past the end of a window": Bug(
        "stitched", "x >= window.columns", "x > window.columns", "plain", WRONG,
    ),
    "more stages than the shared memory holds": Bug(
        "both_directions",
        "STAGES = 3;", "STAGES = 4;",
        "plain", "dynamic shared memory|the target is not in shared memory",
    ),
    "an array in shared memory one too short": Bug(
        "pose",
        "float counts[MEAN_THREADS / 32];", "float counts[MEAN_THREADS / 32 - 1];",
        "undefined", "undefined behaviour: an index past its array at .*pose.cuh",
    ),
    "a vector load from half way": Bug(
        "pose",
        "Packet<T>::load(of_b, b + c);", "Packet<T>::load(of_b, b + (c ? c - 1 : 1));",
        "undefined", "undefined behaviour: a misaligned .* at .*warp.cuh",
    ),
    # ---- blocks ----
    "a maximum over blocks that is not atomic": Bug(
        "few_queries",
        "atomicMax(keys + first_query + q, key);",
        "keys[first_query + q] = max(keys[first_query + q], key);",
        "race", "race: .* of a buffer",
    ),
}  # fmt: skip


def devices(build: Build, kernels: Path = KERNELS) -> list[HostDevice]:
    """The device of a build; the plain one finds by all its schedules together."""
    if build == "plain":
        return [
            HostDevice(order, eager, guard_before=eager, kernels=kernels)
            for order in range(3)
            for eager in (False, True)
        ]
    return [HostDevice(order, checks=build, kernels=kernels) for order in range(3)]


def planted(bug: Bug) -> Path:
    """A copy of the kernels' source with the bug in it."""
    sources = sorted([*(KERNELS / "include").iterdir(), *(KERNELS / "cuda").glob("*.cu")])
    texts = {each.relative_to(KERNELS): each.read_text("utf-8") for each in sources}
    places = [name for name, text in texts.items() for _ in range(text.count(bug.text))]
    assert len(places) == 1, f"{bug.text!r} is to be in the source once, and is in {places}"
    texts[places[0]] = texts[places[0]].replace(bug.text, bug.replacement)
    key = hashlib.sha256("".join(texts.values()).encode()).hexdigest()[:16]
    folder = cache_folder() / f"planted-{key}"  # the same for the same content: built once
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def complaints(operation: str, on: list[HostDevice]) -> list[str]:
    """What is wrong on which devices."""
    found = []
    for device in on:
        try:
            OPERATIONS[operation](device)
        except (CudaError, AssertionError) as problem:
            found.append(str(problem))
    return found


@pytest.mark.parametrize("build", ["plain", "race", "undefined"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_source_as_it_is_passes(operation: str, build: Build):
    assert complaints(operation, devices(build)) == []


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str):
    bug = BUGS[name]
    found = complaints(bug.operation, devices(bug.build, planted(bug)))
    assert any(re.search(bug.said, each) for each in found), found or "nothing was found"
