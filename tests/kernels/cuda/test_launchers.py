"""Both launchers with the driver on the host: real cubins, real calls, kernels run by the CPU."""

from __future__ import annotations

import re

import pytest

from geoaware.kernels.cuda import compilers
from geoaware.kernels.cuda import open as opening
from geoaware.kernels.cuda.errors import CudaError
from tests.cuda_on_host.build import missing
from tests.cuda_on_host.driver.program import run_on_driver

HERE = "tests/kernels/cuda"
MATCH = f"{HERE}/test_matching.py::test_queries_equal_those_of_the_host"
OF_A_MATCH = ("matching", "similarity", "softargmax")
IMAGES = "tests/runtime/test_device_pipeline.py"

START = """
import os, threading
import numpy as np
from geoaware.kernels.cuda import cubins
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.errors import CudaError, CudaMemoryError
from geoaware.kernels.cuda.open import open_device
from tests.cuda_on_host.driver.program import PROBES
cubins.SOURCES = PROBES.parent
"""


@pytest.fixture(params=opening.LAUNCHERS)
def launcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(opening.VARIABLE, request.param)
    try:
        opening.chosen_launcher()
        compilers.compiler()
    except CudaError as problem:
        pytest.skip(str(problem))
    if reason := missing():
        pytest.skip(reason)
    return request.param


def told(launcher: str, program: str, **environment: str) -> str:
    done = run_on_driver("-c", START + program, launcher=launcher, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_everything_that_a_gpu_does(launcher: str) -> None:
    asked = ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider")
    files = (f"{HERE}/test_gpu.py", f"{HERE}/test_graph.py", MATCH)
    done = run_on_driver(*asked, *files, launcher=launcher, kernels=OF_A_MATCH)
    assert done.returncode == 0, done.stdout + done.stderr
    passed, skipped = (re.search(rf"(\d+) {what}", done.stdout) for what in ("passed", "skipped"))
    assert passed, done.stdout
    assert int(passed[1]) > 50
    assert not skipped or int(skipped[1]) == 1, done.stdout  # PyTorch's CUDA


def test_a_match_from_the_images_on(launcher: str) -> None:
    asked = ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider")
    tests = (f"{IMAGES}::test_a_match_is_that_of_the_host", f"{IMAGES}::test_threads_may_share_it")
    done = run_on_driver(*asked, *tests, launcher=launcher, kernels=(*OF_A_MATCH, "preprocess"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout, done.stdout


def test_the_launcher_is_the_one_that_was_asked_for(launcher: str) -> None:
    title = {"pycuda": "PyCUDA", "cuda-core": "cuda-bindings"}[launcher]
    assert told(launcher, "print(open_device().launcher.title)").startswith(title)


def test_programs_with_threads_end_quietly(launcher: str) -> None:
    program = """
def work():
    device = open_device()
    keep.append((device.new_stream(), device.new_event(), device.pinned((3,), "f4")))
    there = DeviceArray.of(device, np.ones(5, np.float32))
    device.kernel("launching", "add").launch((1,), (5,), [there, there, there, np.int32(5)])
    keep.append(there)

keep = []
threads = [threading.Thread(target=work) for _ in range(4)]
for each in threads: each.start()
for each in threads: each.join()
work()
"""
    assert told(launcher, program) == ""


def test_a_kernel_that_fails_is_told_at_the_next_wait(launcher: str) -> None:
    program = """
device = open_device()
there = DeviceArray.of(device, np.ones(5, np.float32))
device.kernel("launching", "write_to").launch((1,), (1,), [np.uintp(64)])
try:
    there.numpy()
except CudaError as error:
    print(error)
"""
    output = told(launcher, program)
    assert "cuStreamSynchronize: CUDA_ERROR_LAUNCH_FAILED" in output
    assert "write_to" in output


def test_memory_that_nobody_uses_makes_room(launcher: str) -> None:
    program = """
device = open_device()
small = [device.allocate(1000) for _ in range(900)]
del small
large = device.allocate(1_000_000)
try:
    device.allocate(100_000)
except CudaMemoryError as error:
    print(error)
"""
    assert "Host GPU has no 0.1 MiB of memory left" in told(
        launcher, program, FAKE_CUDA_MEMORY="1100000"
    )


def test_memory_that_nobody_uses_is_given_to_other_libraries(launcher: str) -> None:
    program = """
device = open_device()
kept = device.allocate(100_000)
unused = [device.allocate(1000) for _ in range(900)]
del unused
for _ in range(2):
    try:
        print(bool(device.context.handle("cuMemAlloc_v2", 950_000)))
    except CudaMemoryError:
        print("full")
        device.trim()
"""
    output = told(launcher, program, FAKE_CUDA_MEMORY="1100000")
    assert output.split() == ["full", "True"]


def test_another_library_may_use_another_gpu_in_the_thread(launcher: str) -> None:
    program = """
from geoaware.kernels.cuda import libcuda
from geoaware.kernels.cuda.context import Context
from geoaware.kernels.cuda.graph import CudaGraph

def elsewhere(step):
    other.enter()
    return step()

device, other = open_device(), Context(1)
host = elsewhere(lambda: device.pinned((5,), np.float32))
host[:] = 1
ones = elsewhere(lambda: DeviceArray.of(device, host))
total = elsewhere(lambda: DeviceArray.empty(device, (5,), np.float32))
kernel = elsewhere(lambda: device.kernel("launching", "add"))
elsewhere(lambda: kernel.launch((1,), (5,), [ones, ones, total, np.int32(5)]))
stream = elsewhere(device.new_stream)
done, later = (elsewhere(lambda: device.new_event(timed=True)) for _ in range(2))
elsewhere(lambda: done.record(device.stream))
elsewhere(lambda: stream.wait(done))
elsewhere(lambda: device.download(total.pointer, host, stream))
elsewhere(lambda: later.record(stream))
elsewhere(later.synchronize)
elsewhere(lambda: later.milliseconds_since(done))
print(host.tolist())
upload = lambda: elsewhere(lambda: device.upload(host, ones.pointer))
graph = elsewhere(lambda: CudaGraph(device, upload))
elsewhere(graph.replay)
elsewhere(stream.synchronize)
print(elsewhere(ones.numpy).tolist())
theirs = other.handle("cuMemAlloc_v2", 64)
print(elsewhere(lambda: (device.holds(ones.pointer), device.holds(theirs))))
elsewhere(device.trim)
other.enter()
del host, stream, done, later, graph
print(device.holds(libcuda.handle("cuMemAlloc_v2", 64)))
"""
    output = told(launcher, program, FAKE_CUDA_DEVICES="2")
    two = "[2.0, 2.0, 2.0, 2.0, 2.0]"
    assert output.splitlines() == [two, two, "(True, False)", "False"]


def test_a_launch_may_come_while_pycuda_prepares_another(launcher: str) -> None:
    if launcher != "pycuda":
        pytest.skip("only PyCUDA prepares launches")
    program = """
import pycuda.driver
from threading import Event, Thread
prepare, begun, go_on = pycuda.driver.Function.prepare, Event(), Event()

def slowly(function, kinds):
    if kinds.startswith("l"):
        function.arg_format = ""  # as PyCUDA begins
        begun.set()
        go_on.wait(10)
    return prepare(function, kinds)

def launch(first):
    kernel.launch((1,), (5,), [first, ones, total, np.int32(5)])

pycuda.driver.Function.prepare = slowly
device = open_device()
ones, total = (DeviceArray.of(device, np.ones(5, np.float32)) for _ in range(2))
kernel = device.kernel("launching", "add")
launch(ones)
other = Thread(target=launch, args=[np.int64(ones.pointer)])
other.start()
begun.wait(10)
launch(ones)
go_on.set()
other.join()
print(total.numpy().tolist())
"""
    assert told(launcher, program) == "[2.0, 2.0, 2.0, 2.0, 2.0]\n"


def test_a_forked_process_is_told_why_it_has_no_device(launcher: str) -> None:
    program = """
open_device()
if os.fork() == 0:
    try:
        open_device()
    except CudaError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""
    assert "spawn" in told(launcher, program)


def test_no_gpu(launcher: str) -> None:
    program = """
try:
    open_device()
except CudaError as error:
    print(error)
"""
    output = told(launcher, program, FAKE_CUDA_DEVICES="0", CUDA_VISIBLE_DEVICES="7")
    assert output.startswith("no usable GPU (CUDA_VISIBLE_DEVICES is '7'): cuInit: CUDA_ERROR_NO_D")


def test_describe_finds_all_parts_and_makes_no_context(launcher: str) -> None:
    program = """
import sys
from geoaware.kernels.cuda.describe import describe
for part in describe(): print(part.name, part.found, part.missing)
print("pycuda.driver" in sys.modules)
"""
    driver, gpu, launched_by, compiler, imported = told(launcher, program).splitlines()
    assert (driver, gpu) == ("driver CUDA 13.0 ", "GPU Host GPU (sm_90) ")
    assert launched_by.startswith(f"launcher {launcher} (")
    assert compiler.startswith(("compiler NVRTC", "compiler nvcc"))
    assert imported == "False"
