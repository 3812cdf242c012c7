"""Asynchronous copies."""

from __future__ import annotations

import numpy as np
import pytest

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.device import Device

from .host_device import HostDevice

ROWS = np.random.default_rng(0).standard_normal((96, 4)).astype(np.float32)


def in_groups(device: Device) -> None:
    there = np.random.default_rng(1).integers(0, 2, 96).astype(np.uint8)
    out = DeviceArray.empty(device, (96, 4), np.float32)
    arguments = [out, DeviceArray.of(device, ROWS), DeviceArray.of(device, there)]
    device.kernel("copies", "groups").launch((1,), (32,), arguments)
    np.testing.assert_array_equal(out.numpy(), ROWS * there[:, None])


def test_what_was_waited_for_is_there_and_zero_where_nothing_is_copied(probe: Device):
    in_groups(probe)


@pytest.mark.parametrize("checks", [None, "race", "undefined"])
def test_so_it_is_when_copies_happen_at_once(host: HostDevice, checks: str | None):
    host.eager_copies, host.checks = True, checks
    in_groups(host)


@pytest.mark.parametrize("eager", [False, True])
def test_a_read_before_the_wait_finds_both_extremes(host: HostDevice, eager: bool):
    host.eager_copies = eager
    out = DeviceArray.empty(host, (64, 4), np.float32)
    rows = DeviceArray.of(host, ROWS[:32])
    host.kernel("copies", "too_early").launch((1,), (32,), [out, rows])
    early, late = out.numpy().reshape(2, 32, 4)
    np.testing.assert_array_equal(late, ROWS[:32])
    np.testing.assert_array_equal(early, ROWS[:32] if eager else np.full((32, 4), np.nan))
