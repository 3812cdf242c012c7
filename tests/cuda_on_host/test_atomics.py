"""Atomics: nothing is lost, whoever comes first."""

from __future__ import annotations

import numpy as np

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.device import Device

BLOCKS, THREADS = 5, 33
NUMBERS = np.arange(BLOCKS * THREADS)


def launched(probe: Device, kernel: str, *arrays: np.ndarray) -> list[np.ndarray]:
    on_device = [DeviceArray.of(probe, array) for array in arrays]
    probe.kernel("atomics", kernel).launch((BLOCKS,), (THREADS,), on_device)
    return [array.numpy() for array in on_device]


def test_sums_wrap_around(probe: Device):
    kinds = (np.int32, np.uint32, np.uint64, np.float32)
    i, u, big, f = launched(probe, "sums", *(np.zeros(1, kind) for kind in kinds))
    assert i == (NUMBERS - 50).sum()
    assert u == 0x10000000 * NUMBERS.size % 2**32
    assert big == 2**32 * NUMBERS.size + NUMBERS.sum()
    assert f == 0.5 * NUMBERS.size


def test_extremes_of_signed_and_unsigned(probe: Device):
    values = np.random.default_rng(0).integers(-(2**31), 2**31, NUMBERS.size).astype(np.int32)
    i, u, big, _ = launched(
        probe, "extremes", np.zeros(2, np.int32), np.array([0, 2**32 - 1], np.uint32),
        np.zeros(1, np.uint64), values,
    )  # fmt: skip
    assert i.tolist() == [values.max(), values.min()]
    assert u.tolist() == [values.view(np.uint32).max(), values.view(np.uint32).min()]
    assert big == values.astype(np.int64).view(np.uint64).max()


def test_an_exchange_returns_what_was_there(probe: Device):
    last, before = launched(probe, "chain", np.full(1, -1, np.int32), NUMBERS.astype(np.int32))
    assert sorted([*before, *last]) == [-1, *NUMBERS]


def test_compare_and_swap_happens_once_for_each_value(probe: Device):
    counter, replaced = launched(probe, "count", np.zeros(1, np.int32), NUMBERS.astype(np.int32))
    assert counter == NUMBERS.size
    assert sorted(replaced) == list(NUMBERS)


def test_bits(probe: Device):
    some, every = launched(probe, "bits", np.zeros(1, np.uint32), np.full(1, 2**32 - 1, np.uint32))
    assert some == 2**32 - 1
    assert every == 0
