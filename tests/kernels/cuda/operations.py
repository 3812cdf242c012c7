"""Every operation once through its launcher, on shapes small and ragged enough for any build.

Each raises where the result is not the float64 reference's.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from geoaware.kernels import SoftArgmax, reference, unit
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.descriptors import sample
from geoaware.kernels.cuda.device import Device
from geoaware.kernels.cuda.fuse import fuse
from geoaware.kernels.cuda.pose import mutual_distance
from geoaware.kernels.cuda.preprocess import to_frame
from geoaware.kernels.cuda.similarity import both_ways, nearest
from geoaware.kernels.cuda.softargmax import expected_cells
from geoaware.kernels.cuda.stitch import stitch

TYPES = (np.float32, np.float16)


def descriptors(seed: int, *shape: int, dtype: type = np.float32) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def rows_of(keys: np.ndarray) -> np.ndarray:
    return (np.uint64(0xFFFFFFFF) - (keys & np.uint64(0xFFFFFFFF))).astype(np.int64)


def few_queries(device: Device) -> None:
    for dtype in TYPES:
        the_two_nearest(device, 3, 67, 72, dtype)


def many_queries(device: Device) -> None:
    """More than `nearest` takes for few, in float16."""
    the_two_nearest(device, 133, 139, 40, np.float16)


def the_two_nearest(device: Device, count: int, rows: int, channels: int, dtype: type) -> None:
    queries = descriptors(0, count, channels, dtype=dtype)
    target = descriptors(1, rows, channels, dtype=dtype)
    arrays = [DeviceArray.of(device, each) for each in (queries, target)]
    found, similarity = nearest(*arrays, count=2)
    truth = queries.astype(float) @ target.astype(float).T
    np.testing.assert_array_equal(found.numpy(), np.argsort(-truth, axis=1)[:, :2])
    best = -np.sort(-truth, axis=1)[:, :2]
    np.testing.assert_allclose(similarity.numpy(), best, atol=1e-5)


def both_directions(device: Device) -> None:
    for dtype in TYPES:
        a, b = (descriptors(n, rows, 104, dtype=dtype) for n, rows in ((0, 61), (1, 131)))
        forward, backward = both_ways(DeviceArray.of(device, a), DeviceArray.of(device, b))
        truth = reference.cosine_similarity(a, b[:, None]).reshape(61, 131)
        np.testing.assert_array_equal(rows_of(forward.numpy()), truth.argmax(axis=1))
        np.testing.assert_array_equal(rows_of(backward.numpy()), truth.argmax(axis=0))


def places(device: Device) -> None:
    features = descriptors(0, 3, 5, 33)
    cells = np.float32([[0, 0], [4, 2], [1.25, 0.5], [9, -3], [3.5, 1.75]])
    found = sample(DeviceArray.of(device, features), DeviceArray.of(device, cells), "bilinear")
    inside = np.clip(cells, 0, (4, 2)).astype(float)
    low = np.minimum(inside.astype(int), (4, 2))
    high, share = np.minimum(low + 1, (4, 2)), inside - low
    mixed = [
        (1 - t) * ((1 - s) * features[y, x] + s * features[y, right])
        + t * ((1 - s) * features[below, x] + s * features[below, right])
        for (x, y), (right, below), (s, t) in zip(low, high, share, strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), reference.unit(np.stack(mixed)), atol=1e-6)


def windows(device: Device) -> None:
    """Peaks in corners and in the middle; one query's window falls to several blocks."""
    for dtype in TYPES:
        target = descriptors(1, 7, 5, 72, dtype=dtype)
        for chosen in ([(0, 0)], [(6, 4), (0, 4), (3, 2), (6, 0), (5, 1)]):
            queries = np.stack([target[cell] for cell in chosen])
            best = nearest_keys_of(queries, target)
            arrays = [DeviceArray.of(device, each) for each in (queries, target, best)]
            for setting in (SoftArgmax(5, 0.1, "zeroed"), SoftArgmax(7, 0.1, "cropped")):
                found = expected_cells(*arrays, setting).cells.numpy()
                products = np.einsum("kc,hwc->khw", queries.astype(float), target.astype(float))
                truth = reference.expected_cells(products, setting)
                np.testing.assert_allclose(found, truth, atol=2e-3)


def crowded_windows(device: Device) -> None:
    """So many queries that the kernel takes whole tiles of the target, in float16."""
    queries = descriptors(0, 400, 24, dtype=np.float16)
    target = descriptors(1, 13, 10, 24, dtype=np.float16)
    products = np.einsum("kc,hwc->khw", queries.astype(float), target.astype(float))
    setting = SoftArgmax(0, 0.1, "zeroed")
    arrays = [
        DeviceArray.of(device, each) for each in (queries, target, nearest_keys_of(queries, target))
    ]
    found = expected_cells(*arrays, setting).cells.numpy()
    np.testing.assert_allclose(found, reference.expected_cells(products, setting), atol=2e-3)


def nearest_keys_of(queries: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Keys by their definition, of positive similarities."""
    products = queries.astype(float) @ target.reshape(-1, target.shape[-1]).astype(float).T
    peaks = products.argmax(axis=1).astype(np.uint64)
    bits = products.max(axis=1).astype(np.float32).view(np.uint32) | np.uint32(1 << 31)
    return bits.astype(np.uint64) << np.uint64(32) | np.uint64(0xFFFFFFFF) - peaks


def pose(device: Device) -> None:
    a, b = descriptors(0, 7, 5, 40), descriptors(1, 7, 5, 40)
    found = mutual_distance(DeviceArray.of(device, a), DeviceArray.of(device, b))
    truth = reference.mutual_distance(a.reshape(-1, 40), b.reshape(-1, 40))
    np.testing.assert_allclose(found, truth, rtol=1e-5)


def frame(device: Device) -> None:
    """Wider than a chunk of a row that the kernel brings to shared memory, and with a row left."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 2200, 3), dtype=np.uint8)
    made = to_frame(DeviceArray.of(device, pixels), 9, (9, 3), (0, 2)).numpy()
    narrowed = Image.fromarray(pixels).resize((9, 5), Image.Resampling.LANCZOS)
    truth = np.asarray(narrowed.resize((9, 3), Image.Resampling.LANCZOS), np.float32) / 255
    np.testing.assert_allclose(made[:, 2:5], truth.transpose(2, 0, 1), atol=1e-6)


def fused(device: Device) -> None:
    random = np.random.default_rng(5)
    maps = [random.standard_normal(shape) for shape in ((5, 7, 140), (3, 4, 33))]
    maps = [each.astype(np.float32) for each in maps]
    truth = reference.fuse(maps, [[1.0, 0.5]], (5, 7), "tap")
    for first in (False, True):
        given = [each.transpose(2, 0, 1) if first else each for each in maps]
        arrays = [DeviceArray.of(device, each) for each in given]
        made = fuse(arrays, [[1.0, 0.5]], (5, 7), "tap", channels_first=first)
        np.testing.assert_allclose(made.numpy(), truth, atol=1e-5)


def stitched(device: Device) -> None:
    offsets = [(0, 0), (0, 2), (3, 0), (3, 2)]
    pieces = np.random.default_rng(3).standard_normal((4, 5, 4, 3)).astype(np.float32)
    truth = reference.stitch(pieces, offsets, (8, 6))
    made = stitch(DeviceArray.of(device, pieces), offsets, (8, 6), channels_first=False)
    np.testing.assert_allclose(made.numpy(), truth, atol=1e-6)


OPERATIONS = {
    "few_queries": few_queries,
    "many_queries": many_queries,
    "both_directions": both_directions,
    "places": places,
    "windows": windows,
    "crowded_windows": crowded_windows,
    "pose": pose,
    "frame": frame,
    "fused": fused,
    "stitched": stitched,
}
