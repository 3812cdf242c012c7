"""Graphs on a GPU; test_launchers.py runs it with the driver on the host too."""

from __future__ import annotations

from threading import Thread

import numpy as np
import pytest

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.errors import CudaError
from geoaware.kernels.cuda.gpu import Gpu
from geoaware.kernels.cuda.graph import CudaGraph

from .test_gpu import add, gpu

__all__ = ["gpu"]

pytestmark = pytest.mark.gpu


def array(gpu: Gpu, *values: float) -> DeviceArray:
    return DeviceArray.of(gpu, np.array(values, np.float32))


def put(gpu: Gpu, target: DeviceArray, *values: float) -> None:
    gpu.upload(np.array(values, np.float32), target.pointer)


def test_a_graph_does_the_same_with_what_is_there_now(gpu: Gpu) -> None:
    inputs, results = array(gpu, 1, 2), []
    add(gpu, inputs, inputs)
    graph = CudaGraph(gpu, lambda: results.append(add(gpu, add(gpu, inputs, inputs), inputs)))
    for values in ((1, 2), (10, 20)):
        put(gpu, inputs, *values)
        graph.replay()
        assert results[0].numpy().tolist() == [3 * value for value in values]


def test_a_graph_keeps_the_arrays_it_reads(gpu: Gpu) -> None:
    inputs, results = [array(gpu, 1, 2)], []
    graph = CudaGraph(gpu, lambda: results.append(add(gpu, inputs[0], inputs[0])))
    inputs.clear()
    others = [array(gpu, 7, 7) for _ in range(8)]
    graph.replay()
    assert results[0].numpy().tolist() == [2, 4]
    assert len(others) == 8


def test_recording_does_nothing_yet(gpu: Gpu) -> None:
    target = array(gpu, 5, 5)
    graph = CudaGraph(gpu, lambda: gpu.fill(target.pointer, 0, target.nbytes))
    assert target.numpy().tolist() == [5, 5]
    graph.replay()
    assert target.numpy().tolist() == [0, 0]


def test_what_a_graph_allocates_stays_its_own(gpu: Gpu) -> None:
    inputs, total = array(gpu, 1, 2), array(gpu, 0, 0)
    kernel = gpu.kernel("launching", "add")

    def twice() -> None:
        temporary = add(gpu, inputs, inputs)
        kernel.launch((1,), (128,), [temporary, inputs, total, np.int32(2)])

    graph = CudaGraph(gpu, twice)
    others = [array(gpu, 7, 7) for _ in range(8)]
    graph.replay()
    assert total.numpy().tolist() == [3, 6]
    assert all(each.numpy().tolist() == [7, 7] for each in others)


def test_page_locked_copies_are_recorded_and_pageable_refused(gpu: Gpu) -> None:
    host, back = gpu.pinned((2,), np.float32), gpu.pinned((2,), np.float32)
    there = array(gpu, 0, 0)

    def copies() -> None:
        gpu.upload(host, there.pointer)
        gpu.download(there.pointer, back)

    graph = CudaGraph(gpu, copies)
    for value in (1, 2):
        host[:] = value
        graph.replay()
        gpu.stream.synchronize()
        assert back.tolist() == [value, value]
    with pytest.raises(ValueError, match=r"page-locked.*Device\.pinned"):
        CudaGraph(gpu, lambda: put(gpu, there, 1, 2))
    assert there.numpy().tolist() == [2, 2]


def test_a_wait_cannot_be_recorded(gpu: Gpu) -> None:
    with pytest.raises(CudaError, match="CAPTURE"):
        CudaGraph(gpu, lambda: gpu.stream.synchronize())
    assert add(gpu, array(gpu, 1), array(gpu, 2)).numpy().tolist() == [3]


def test_an_error_of_the_function_comes_through(gpu: Gpu) -> None:
    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        CudaGraph(gpu, fail)
    assert add(gpu, array(gpu, 1), array(gpu, 2)).numpy().tolist() == [3]


def test_other_threads_go_on_while_one_records(gpu: Gpu) -> None:
    inputs, seen = array(gpu, 1, 2), []

    def record() -> None:
        add(gpu, inputs, inputs)
        other = Thread(target=lambda: seen.append(add(gpu, inputs, inputs).numpy().tolist()))
        other.start()
        other.join()

    CudaGraph(gpu, record)
    assert seen == [[2, 4]]
