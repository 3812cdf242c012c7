"""Shuffles, votes and warp barriers against the CUDA C++ Programming Guide."""

from __future__ import annotations

import numpy as np
import pytest

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.device import Device

WHOLE = 0xFFFFFFFF
DIRECTIONS = ("index", "up", "down", "xor")
TYPES = {"shuffle_f32": np.float32, "shuffle_i32": np.int32, "shuffle_u64": np.uint64}


def source_lane(direction: str, lane: int, source: int, width: int) -> int:
    """The lane whose value arrives, by the guide's words on each variant."""
    first = lane // width * width  # of the lane's own segment
    if direction == "index":
        return first + source % width
    if direction == "up":
        return lane - source if lane - source >= first else lane
    if direction == "down":
        return lane + source if lane + source < first + width else lane
    return lane ^ source if (lane ^ source) < first + width else lane


def shuffled(probe: Device, kernel: str, direction: str, mask: int, sources: list[int], width: int):
    out = DeviceArray.of(probe, np.zeros(64, TYPES[kernel]))
    arguments = [out, np.int32(DIRECTIONS.index(direction)), np.uint32(mask)]
    arguments += [DeviceArray.of(probe, np.array(sources, np.int32)), np.int32(width)]
    probe.kernel("warp", kernel).launch((1,), (64,), arguments)
    return out.numpy()


@pytest.mark.parametrize("kernel", TYPES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_shuffle_takes_from_the_documented_lane(probe: Device, kernel: str, direction: str):
    for width in (32, 16, 8, 2, 1):
        for source in (0, 1, 5, 15, 31):
            got = shuffled(probe, kernel, direction, WHOLE, [source] * 32, width)
            expected = [100 + source_lane(direction, lane, source, width) for lane in range(32)]
            np.testing.assert_array_equal(got, expected * 2)


def test_each_lane_may_ask_for_another_lane(probe: Device):
    sources = np.random.default_rng(0).integers(0, 32, 32)
    got = shuffled(probe, "shuffle_i32", "index", WHOLE, sources, 32)
    np.testing.assert_array_equal(got, np.tile(100 + sources, 2))


def test_lanes_outside_the_mask_take_no_part(probe: Device):
    got = shuffled(probe, "shuffle_i32", "xor", 0xFF, [3] * 32, 8).reshape(2, 32)
    np.testing.assert_array_equal(got[:, :8], np.tile(100 + (np.arange(8) ^ 3), (2, 1)))
    assert not got[:, 8:].any()


@pytest.mark.parametrize("mask", [WHOLE, 0x0000FFFF, 0x80000001])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_votes(probe: Device, mask: int, share: float):
    predicates = (np.random.default_rng(1).random(64) < share).astype(np.int32) * 6
    out = DeviceArray.of(probe, np.full((64, 3), 99, np.uint32))
    asked = DeviceArray.of(probe, predicates)
    probe.kernel("warp", "vote").launch((1,), (64,), [out, np.uint32(mask), asked])
    for thread, (ballot, some, every) in enumerate(out.numpy()):
        if not mask >> thread % 32 & 1:
            assert (ballot, some, every) == (99, 99, 99)
            continue
        first = thread // 32 * 32
        votes = sum(1 << i for i in range(32) if predicates[first + i]) & mask
        assert (ballot, some, every) == (votes, votes != 0, votes == mask)


def test_disjoint_groups_of_lanes_may_be_in_different_operations(probe: Device):
    out = DeviceArray.of(probe, np.zeros(32, np.int32))
    probe.kernel("warp", "two_groups").launch((1,), (32,), [out])
    down = [min(lane + 3, 15) for lane in range(16)]
    assert out.numpy().tolist() == down + [lane ^ 7 for lane in range(16, 32)]


def test_behind_a_warp_barrier_lanes_see_what_others_wrote(probe: Device):
    out = DeviceArray.of(probe, np.zeros(64, np.int32))
    probe.kernel("warp", "neighbours").launch((1,), (64,), [out])
    np.testing.assert_array_equal(out.numpy(), np.arange(64) ^ 1)
