"""Built-in variables, barriers and shared memory."""

from __future__ import annotations

import numpy as np
import pytest

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.device import Device

from .host_device import HostDevice


@pytest.mark.parametrize(
    ("grid", "block"), [((1,), (1,)), ((3, 2), (5, 7)), ((2, 3, 4), (3, 5, 2))]
)
def test_built_in_variables(probe: Device, grid: tuple[int, ...], block: tuple[int, ...]):
    grid3, block3 = (*grid, 1, 1)[:3], (*block, 1, 1)[:3]
    blocks, threads = int(np.prod(grid)), int(np.prod(block))
    out = DeviceArray.of(probe, np.full((blocks, threads, 4, 3), -1, np.int32))
    probe.kernel("block", "positions").launch(grid, block, [out])

    def places(sizes: tuple[int, ...]) -> np.ndarray:
        """x runs fastest."""
        return np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes[::-1])[::-1], -1)

    got = out.numpy()
    np.testing.assert_array_equal(got[:, :, 0], np.tile(places(block3), (blocks, 1, 1)))
    np.testing.assert_array_equal(got[:, :, 2], np.repeat(places(grid3)[:, None], threads, 1))
    assert (got[:, :, 1] == block3).all()
    assert (got[:, :, 3] == grid3).all()


@pytest.mark.parametrize("threads", [1, 31, 32, 33, 96])
def test_barriers_that_reduce(probe: Device, threads: int):
    rows = np.random.default_rng(threads).integers(0, 3, (7, threads)).astype(np.int32)
    rows[1], rows[4] = 0, 5
    out = DeviceArray.of(probe, np.zeros((7, threads, 3), np.int32))
    arguments = [out, DeviceArray.of(probe, rows), np.int32(7)]
    probe.kernel("block", "reductions").launch((1,), (threads,), arguments)
    truth = np.stack([rows.any(1), rows.all(1), (rows != 0).sum(1)], -1)
    np.testing.assert_array_equal(out.numpy(), np.repeat(truth[:, None], threads, 1))


@pytest.mark.parametrize("threads", [1, 33, 96])
def test_behind_a_barrier_threads_see_what_others_wrote(probe: Device, threads: int):
    out = DeviceArray.of(probe, np.zeros((4, threads), np.int32))
    arguments = [out, np.int32(5)]
    probe.kernel("block", "rotate").launch((4,), (threads,), arguments, 4 * threads)
    expected = (np.arange(threads) + 5) % threads + 5000
    np.testing.assert_array_equal(out.numpy(), np.tile(expected, (4, 1)))


@pytest.mark.parametrize("threads", [1, 2])
def test_each_block_finds_shared_memory_unwritten(host: HostDevice, threads: int):
    host.threads = threads
    for _ in range(3):
        out = DeviceArray.of(host, np.zeros(64, np.float32))
        host.kernel("block", "unwritten").launch((5,), (32,), [out], 128)
        assert np.isnan(out.numpy()).all()
