"""The race build: unordered accesses are found, ordered ones pass, in every order of threads."""

from __future__ import annotations

import numpy as np
import pytest

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.errors import CudaError

from .host_device import HostDevice

SHARED = "(race: .*|no thread of the block has written, .*): static shared memory"

# kernel: blocks, threads, what the error says of the memory
RACES = {
    "block_barrier": (1, 64, SHARED),
    "warp_barrier": (1, 64, SHARED),
    "too_small_a_barrier": (1, 64, SHARED),
    "shuffle": (1, 32, SHARED),
    "overwritten_first": (1, 64, SHARED),
    "overwritten_last": (1, 64, SHARED),
    "overwritten_in_warp": (1, 64, SHARED),
    "blocks": (3, 32, r"race: .* by block \d thread 0 .*: byte \d of a buffer of 1024 bytes"),
    "other_block": (2, 32, r"race: .*: byte \d+ of a buffer of 1024 bytes"),
    "unwritten": (1, 32, "shared memory is read that no thread of the block has written"),
    "copied": (1, 32, SHARED),
}


def run(kernel: str, order: int, eager_copies: bool, safe: bool, host: HostDevice) -> None:
    blocks, threads, _ = RACES[kernel]
    device = HostDevice(order, eager_copies, checks="race", kernels=host.kernels)
    out = DeviceArray.of(device, np.zeros(256, np.int32))
    device.kernel("races", kernel).launch((blocks,), (threads,), [out, np.int32(safe)])


@pytest.mark.parametrize("eager_copies", [False, True])
@pytest.mark.parametrize("order", range(3))
@pytest.mark.parametrize("kernel", RACES)
def test_a_missing_barrier_is_found(kernel: str, order: int, eager_copies: bool, host: HostDevice):
    with pytest.raises(CudaError, match=RACES[kernel][2]) as problem:
        run(kernel, order, eager_copies, False, host)
    assert "races.cu:" in str(problem.value)
    run(kernel, order, eager_copies, True, host)
