"""Matrix fragments against plain matrices."""

from __future__ import annotations

import numpy as np

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.device import Device

FLOAT_ROUNDING = 2.0**-24


def test_each_lane_loads_its_pair_of_each_matrix(probe: Device):
    matrices = np.random.default_rng(0).standard_normal((4, 8, 8)).astype(np.float16)
    out = DeviceArray.empty(probe, (32, 4), np.uint32)
    probe.kernel("fragments", "load").launch((1,), (32,), [out, DeviceArray.of(probe, matrices)])
    pairs = np.ascontiguousarray(matrices).view(np.uint32)  # (4, 8, 4): matrix, row, pair
    np.testing.assert_array_equal(out.numpy(), pairs.reshape(4, 32).T)


def product(probe: Device, a: np.ndarray, b: np.ndarray, d: np.ndarray) -> np.ndarray:
    sums = DeviceArray.of(probe, d)
    factors = [DeviceArray.of(probe, each) for each in (a, b)]
    probe.kernel("fragments", "multiply").launch((1,), (32,), [sums, *factors])
    return sums.numpy()


def test_the_fragments_multiply_as_matrices_do(probe: Device):
    random = np.random.default_rng(0)
    for scale in (1.0, 1e-3, 100.0):
        a = (random.standard_normal((16, 16)) * scale).astype(np.float16)
        b = random.standard_normal((16, 8)).astype(np.float16)
        d = random.standard_normal((16, 8)).astype(np.float32)
        exact = a.astype(float) @ b.astype(float) + d
        summed = np.abs(a).astype(float) @ np.abs(b).astype(float) + np.abs(d)
        # The device may truncate where it adds, and in what order it adds is its own.
        error = np.abs(product(probe, a, b, d) - exact)
        assert (error <= 32 * FLOAT_ROUNDING * summed).all()


def test_whole_numbers_come_out_exactly(probe: Device):
    random = np.random.default_rng(1)
    a = random.integers(-8, 9, (16, 16)).astype(np.float16)
    b = random.integers(-8, 9, (16, 8)).astype(np.float16)
    d = random.integers(-99, 99, (16, 8)).astype(np.float32)
    np.testing.assert_array_equal(product(probe, a, b, d), a.astype(float) @ b + d)
