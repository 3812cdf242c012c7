"""What the host's stand-in claims of the GPU, held against a GPU: the same probes on both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from geoaware.kernels.cuda import cubins
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.device import Device
from geoaware.kernels.cuda.errors import CudaError
from geoaware.kernels.cuda.open import open_device
from tests.cuda_on_host.host_device import KERNELS, HostDevice

from .conftest import host

PROBES = KERNELS.parent / "tests" / "cuda_on_host" / "probes"
WHOLE, HALF, PAIRS = 0xFFFFFFFF, 0x0000FFFF, 0x33333333
INDEX, UP, DOWN, XOR = range(4)
NUMBERS = np.array(
    [0.0, -0.0, 1.0, -1.5, 0.1, 2.5, 3.5, -2.5, 1e-8, 6e-8, 65504.0, 65519.0, 65520.0, 1e38,
     np.inf, -np.inf, np.nan, 5.96e-8, 2.98e-8, 6.1e-5, 1.00048828125, 1.0009765625], np.float32,
)  # fmt: skip

Probe = Callable[[Device], list[NDArray[Any]]]


def launched(
    device: Device,
    probe: str,
    outputs: list[tuple[Any, Any]],
    *inputs: Any,
    grid: int = 1,
    block: int = 32,
    shared_bytes: int = 0,
) -> list[NDArray[Any]]:
    """What a probe (`file.kernel`) makes of outputs that are 0, each (shape, dtype), and inputs."""
    file, name = probe.split(".")
    made = [DeviceArray.of(device, np.zeros(shape, dtype)) for shape, dtype in outputs]
    given = [
        DeviceArray.of(device, each) if isinstance(each, np.ndarray) else each for each in inputs
    ]
    kernel = device.kernel(file, name)
    kernel.launch((grid,), (block,), [*made, *given], shared_bytes)
    return [each.numpy() for each in made]


def shuffle(kind: Any, direction: int, mask: int, width: int, sources: Any) -> Probe:
    name = {"float32": "f32", "int32": "i32", "uint64": "u64"}[np.dtype(kind).name]
    lanes = np.broadcast_to(np.asarray(sources, np.int32), 32)
    arguments = np.int32(direction), np.uint32(mask), lanes, np.int32(width)
    return lambda device: launched(
        device, f"warp.shuffle_{name}", [(64, kind)], *arguments, block=64
    )


def vote(mask: int, predicates: Any) -> Probe:
    values = np.asarray(predicates, np.int32)
    return lambda device: launched(
        device, "warp.vote", [((64, 3), np.uint32)], np.uint32(mask), values, block=64
    )


def elements(probe: str, outputs: list[tuple[int, Any]], *inputs: NDArray[Any]) -> Probe:
    """A probe of every element; outputs: how many numbers each element gets, and their type."""
    count = len(inputs[0])
    made = [((count, each), kind) for each, kind in outputs]
    return lambda device: launched(
        device, probe, made, *inputs, np.int32(count), grid=-(-count // 128), block=128
    )


def reductions(device: Device) -> list[NDArray[Any]]:
    predicates = np.stack([np.zeros(96), np.ones(96), np.arange(96) == 70, np.arange(96) % 3])
    return launched(
        device, "block.reductions", [((4, 96, 3), np.int32)],
        predicates.astype(np.int32), np.int32(4), block=96,
    )  # fmt: skip


def copies(device: Device) -> list[NDArray[Any]]:
    values = np.arange(96 * 4, dtype=np.float32).reshape(96, 4) + 1
    there = (np.arange(96) % 5 != 2).astype(np.uint8)
    return launched(device, "copies.groups", [((96, 4), np.float32)], values, there)


def matrices(device: Device) -> list[NDArray[Any]]:
    return launched(
        device, "fragments.load", [((32, 4), np.uint32)], np.arange(256).astype(np.float16)
    )


def product(a: NDArray[np.float16], b: NDArray[np.float16]) -> Probe:
    return lambda device: launched(device, "fragments.multiply", [((16, 8), np.float32)], a, b)


def rotate(device: Device) -> list[NDArray[Any]]:
    return launched(
        device, "block.rotate", [((3, 96), np.int32)], np.int32(5), grid=3, block=96,
        shared_bytes=4 * 96,
    )  # fmt: skip


def sums(device: Device) -> list[NDArray[Any]]:
    outputs = [(1, np.int32), (1, np.uint32), (1, np.uint64), (1, np.float32)]
    return launched(device, "atomics.sums", outputs, grid=7, block=96)


def extremes(device: Device) -> list[NDArray[Any]]:
    values = np.random.default_rng(0).integers(-(2**31), 2**31, 7 * 96).astype(np.int32)
    outputs = [(2, np.int32), (2, np.uint32), (1, np.uint64)]
    return launched(device, "atomics.extremes", outputs, values, grid=7, block=96)


def whole_numbers(*shape: int) -> NDArray[np.float16]:
    return np.random.default_rng(sum(shape)).integers(-8, 9, shape).astype(np.float16)


ALL_HALVES = np.arange(65536).astype(np.uint16).view(np.float16)
FRACTIONS = np.linspace(-7, 7, 57, dtype=np.float32)
LANES = np.arange(32)

PROBES_TO_COMPARE: dict[str, Probe] = {
    "shuffle": shuffle(np.float32, INDEX, WHOLE, 32, LANES[::-1]),
    "shuffle, width 8": shuffle(np.int32, INDEX, WHOLE, 8, LANES * 5 % 32),
    "shuffle, 64 bits": shuffle(np.uint64, INDEX, WHOLE, 16, 3),
    "shuffle up": shuffle(np.float32, UP, WHOLE, 32, 3),
    "shuffle up, width 8": shuffle(np.int32, UP, WHOLE, 8, 1),
    "shuffle down": shuffle(np.uint64, DOWN, WHOLE, 32, 5),
    "shuffle down, width 16": shuffle(np.float32, DOWN, WHOLE, 16, 2),
    "shuffle xor": shuffle(np.float32, XOR, WHOLE, 32, 16),
    "shuffle xor, width 8": shuffle(np.int32, XOR, WHOLE, 8, 4),
    "shuffle of half a warp": shuffle(np.float32, XOR, HALF, 16, 1),
    "shuffle of pairs": shuffle(np.int32, XOR, PAIRS, 32, 1),
    "vote": vote(WHOLE, np.arange(64) % 3 == 1),
    "vote, all": vote(WHOLE, np.full(64, 2)),
    "vote of pairs": vote(PAIRS, np.arange(64) % 4 < 1),
    "groups of a warp": lambda device: launched(device, "warp.two_groups", [(32, np.int32)]),
    "warp's barrier": lambda device: launched(
        device, "warp.neighbours", [(64, np.int32)], block=64
    ),
    "barrier with reductions": reductions,
    "shared memory": rotate,
    "copies, zeros where nothing is": copies,
    "ldmatrix": matrices,
    "mma": product(whole_numbers(16, 16), whole_numbers(16, 8)),
    "atomic sums": sums,
    "atomic extremes": extremes,
    "half to float": elements("numbers.from_half", [(1, np.float32)], ALL_HALVES),
    "float to half": elements(
        "numbers.to_half", [(1, np.float16)],
        np.concatenate([NUMBERS, *(np.nextafter(NUMBERS, each) for each in (-1, np.float32(2)))]),
    ),
    "bits": elements("numbers.reinterpreted", [(1, np.int32), (1, np.float32)], NUMBERS),
    "pairs of numbers": elements("numbers.pairs", [(6, np.float32)], NUMBERS, NUMBERS[::-1].copy()),
    "bit counts": elements(
        "numbers.counts", [(3, np.int32)], np.array([0, 1, -1, 6, -(2**31), 2**30], np.int32)
    ),
    "rounding": elements("numbers.whole", [(4, np.int32)], FRACTIONS),
}  # fmt: skip


@pytest.fixture
def on_host() -> HostDevice:
    return host(kernels=PROBES)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Device:
    try:
        device = open_device()
    except CudaError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(cubins, "SOURCES", PROBES / "cuda")
    return device


@pytest.mark.parametrize("name", PROBES_TO_COMPARE)
def test_the_host_computes_something(on_host: HostDevice, name: str):
    assert any(np.any(each != 0) for each in PROBES_TO_COMPARE[name](on_host))


@pytest.mark.gpu
@pytest.mark.parametrize("name", PROBES_TO_COMPARE)
def test_the_gpu_computes_what_the_host_does(on_host: HostDevice, gpu: Device, name: str):
    probe = PROBES_TO_COMPARE[name]
    for found, expected in zip(probe(gpu), probe(on_host), strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)
        assert (np.signbit(found) == np.signbit(expected))[~np.isnan(expected)].all()


@pytest.mark.gpu
def test_products_of_fractions_differ_by_rounding_alone(on_host: HostDevice, gpu: Device):
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(shape).astype(np.float16) for shape in ((16, 16), (16, 8)))
    [found], [expected] = (product(a, b)(each) for each in (gpu, on_host))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


@pytest.mark.gpu
def test_a_compare_and_swap_counts_every_thread(gpu: Device):
    counter, replaced = launched(
        gpu, "atomics.count", [(1, np.int32), (96, np.int32)], grid=3, block=32
    )
    assert counter == [96]
    assert sorted(replaced) == list(range(96))
