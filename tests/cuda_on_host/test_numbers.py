"""Half precision and scalar functions against numpy."""

from __future__ import annotations

import numpy as np

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.device import Device

HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16)


def mapped(probe: Device, kernel: str, outs: list[np.ndarray], *ins: np.ndarray):
    results = [DeviceArray.of(probe, out) for out in outs]
    given = [DeviceArray.of(probe, each) for each in ins]
    count = len(ins[0])
    arguments = [*results, *given, np.int32(count)]
    probe.kernel("numbers", kernel).launch((-(-count // 256),), (256,), arguments)
    return [result.numpy() for result in results]


def test_every_half_becomes_its_float(probe: Device):
    [floats] = mapped(probe, "from_half", [np.zeros(2**16, np.float32)], HALVES)
    np.testing.assert_array_equal(floats, HALVES.astype(np.float32))  # NaN equals NaN here
    np.testing.assert_array_equal(np.signbit(floats)[HALVES == 0], np.signbit(HALVES)[HALVES == 0])


def test_floats_round_to_the_nearest_half_ties_to_even(probe: Device):
    finite = np.sort(HALVES[np.isfinite(HALVES)].astype(np.float32))
    middles = (finite[1:] + finite[:-1]) / 2
    near = [np.nextafter(middles, np.float32(side)) for side in (-np.inf, np.inf)]
    beyond = np.float32([65519.99, 65520, 1e9, 1e-8, 2.9802322e-8, 1e-40, np.inf, np.nan])
    floats = np.concatenate([finite, middles, *near, beyond, -beyond]).astype(np.float32)
    [halves] = mapped(probe, "to_half", [np.zeros(len(floats), np.float16)], floats)
    with np.errstate(over="ignore"):
        expected = floats.astype(np.float16)
    np.testing.assert_array_equal(halves, expected)
    np.testing.assert_array_equal(np.signbit(halves)[halves == 0], np.signbit(floats)[halves == 0])


def test_floats_keep_their_bits(probe: Device):
    bits = np.random.default_rng(0).integers(0, 2**32, 4096, dtype=np.uint32)
    outs = [np.zeros(4096, np.int32), np.zeros(4096, np.float32)]
    got, back = mapped(probe, "reinterpreted", outs, bits.view(np.float32))
    np.testing.assert_array_equal(got.view(np.uint32), bits)
    np.testing.assert_array_equal(back.view(np.uint32), bits)


def test_exact_functions_of_two_floats(probe: Device):
    random = np.random.default_rng(0)
    special = np.float32([0, -0.0, 1, -1, 0.5, 3, np.inf, -np.inf, np.nan])
    a = np.concatenate([np.repeat(special, 9), random.standard_normal(1000).astype(np.float32)])
    b = np.concatenate([np.tile(special, 9), random.standard_normal(1000).astype(np.float32)])
    [got] = mapped(probe, "pairs", [np.zeros((len(a), 6), np.float32)], a, b)
    with np.errstate(all="ignore"):
        once = (a.astype(np.longdouble) * b + a).astype(np.float32)
        expected = [np.fmin(a, b), np.fmax(a, b), a * b + a, once]
        expected += [np.where(np.isnan(a), 0, np.clip(a, 0, 1)), a / b]
    for column, truth in enumerate(expected):
        np.testing.assert_array_equal(got[:, column], truth, err_msg=str(column))


def test_bits_are_counted(probe: Device):
    numbers = np.array([0, 1, -1, 2**31 - 1, -(2**31), 0x00F0, 12345], np.int32)
    [got] = mapped(probe, "counts", [np.zeros((7, 3), np.int32)], numbers)
    words = [f"{number & 0xFFFFFFFF:032b}" for number in numbers.tolist()]
    assert got.tolist() == [
        [word.count("1"), len(word) - len(word.lstrip("0")), word[::-1].find("1") + 1]
        for word in words
    ]


def test_whole_numbers_saturate(probe: Device):
    floats = np.float32([0.5, 1.5, 2.5, -0.5, -1.5, -2.7, 3e9, -3e9, 2147483520, np.inf, np.nan])
    [got] = mapped(probe, "whole", [np.zeros((len(floats), 4), np.int32)], floats)
    ways = (np.rint, np.trunc, np.floor, np.ceil)
    rounded = np.stack([way(floats.astype(float)) for way in ways], 1)
    expected = np.nan_to_num(np.clip(rounded, -(2**31), 2**31 - 1), nan=0)
    np.testing.assert_array_equal(got, expected)
