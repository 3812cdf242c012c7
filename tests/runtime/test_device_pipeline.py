"""From image to matched points on a device: the host as one, and a GPU where there is one."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoaware.examples import PHOTOGRAPHS
from geoaware.kernels import unit
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.device import Device
from geoaware.kernels.cuda.errors import CudaError
from geoaware.kernels.cuda.open import open_device
from geoaware.runtime import FeatureMap, Frame, GeoAwareError, Pipeline, pipeline
from geoaware.runtime.device_features import DeviceFeatureMap
from geoaware.runtime.engines.choice import Choice
from geoaware.runtime.extraction import extract_all
from geoaware.runtime.matcher import Matcher
from geoaware.runtime.pose import Pose, instance_distance
from geoaware.runtime.recipe import Matching
from geoaware.runtime.store import FeatureStore, Key
from tests.cuda_on_host.host_device import HostDevice

from .host_engine import HostEngine

BATCHES = (1, 4)


@pytest.fixture(scope="module", params=["host", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Device:
    if request.param == "host":
        return HostDevice()
    try:
        return open_device()
    except CudaError as problem:
        pytest.skip(str(problem))


@pytest.fixture
def engines() -> list[HostEngine]:
    return []


@pytest.fixture
def on_device(
    lite: Pipeline, device: Device, engines: list[HostEngine], monkeypatch: pytest.MonkeyPatch
) -> Pipeline:
    """`lite`, extracted and matched on the device."""

    def open_on_device(folder, model, kind, gpu, record):
        engines.append(HostEngine(folder, model, gpu, BATCHES))
        return engines[-1]

    monkeypatch.setattr(pipeline, "choose", lambda device, bundle: Choice("cuda"))
    monkeypatch.setattr(pipeline, "open_on_device", open_on_device)
    monkeypatch.setattr("geoaware.runtime.engines.gpu.current", lambda: device)
    return Pipeline(lite.bundle, "cuda")


def test_a_match_is_that_of_the_host(lite: Pipeline, on_device: Pipeline, cat: Path, cheetah: Path):
    points = [(262, 240), (175, 110), (245, 110)]
    truth = lite.match(cat, cheetah, points)
    features = on_device.extract(cat)
    assert isinstance(features, DeviceFeatureMap)
    found = on_device.match(features, cheetah, points)
    np.testing.assert_allclose(found.target, truth.target, atol=1e-2)
    np.testing.assert_allclose(found.similarity, truth.similarity, atol=1e-5)
    np.testing.assert_array_equal(found.mutual, truth.mutual)


def test_any_number_of_images_goes_in_batches(lite: Pipeline, on_device: Pipeline, engines):
    images = [PHOTOGRAPHS[number % len(PHOTOGRAPHS)] for number in range(6)]
    made = on_device.extract_batch(images)
    assert engines[0].seen == [4, 4]  # the second is filled up
    for image, features in zip(images, made, strict=True):
        np.testing.assert_allclose(features.descriptors, lite.extract(image).descriptors, atol=1e-5)
    assert on_device.extract_batch([]) == []
    on_device.extract(images[0])
    assert engines[0].seen[2:] == [1]


def test_earlier_features_survive_later_ones(on_device: Pipeline, cat: Path, cheetah: Path):
    first = on_device.extract(cat)
    copy = first.array.numpy()
    on_device.extract(cheetah)
    np.testing.assert_array_equal(first.array.numpy(), copy)


def test_threads_may_share_it(on_device: Pipeline):
    truth = [on_device.extract(path).descriptors for path in PHOTOGRAPHS]
    found: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        for _ in range(2):
            found[number] = on_device.extract(PHOTOGRAPHS[number]).descriptors

    threads = [threading.Thread(target=work, args=[number]) for number in range(len(truth))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, expected in enumerate(truth):
        np.testing.assert_array_equal(found[number], expected)


def test_the_store_is_filled_in_batches(lite: Pipeline, on_device: Pipeline, engines, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        Image.new("RGB", (40 + number, 30), (number * 50, 100, 200)).save(path)
    paths[3].write_bytes(b"no image")
    store = FeatureStore(tmp_path / "store", lite.bundle.manifest.hash())
    result = extract_all(paths, store, lambda: on_device)
    assert (result.extracted, [*result.failed]) == (4, [paths[3]])
    assert max(engines[0].seen) == 4
    stored = store.load(Key.of(paths[0])).descriptors
    np.testing.assert_allclose(stored, lite.extract(paths[0]).descriptors, atol=1e-3)


def test_features_of_the_device_meet_those_of_a_file(on_device: Pipeline, cat: Path, tmp_path):
    features = on_device.extract(cat)
    features.save(tmp_path / "cat.npz")
    loaded = FeatureMap.load(tmp_path / "cat.npz")
    points = [(262, 240), (175, 110)]
    both = on_device.match(features, features, points)
    mixed = on_device.match(loaded, features, points)
    np.testing.assert_allclose(mixed.target, both.target, atol=1e-2)


@pytest.mark.parametrize("masked", [False, True])
def test_pose_alignment_decides_as_on_the_host(device: Device, masked: bool):
    frame = Frame.fit("letterbox", 80, 120, 60)
    source, mirrored, target = (
        FeatureMap(unit(np.random.default_rng(seed).standard_normal((8, 8, 8))), frame, "toy")
        for seed in range(3)
    )
    there = [
        DeviceFeatureMap(DeviceArray.of(device, each.descriptors), frame, "toy")
        for each in (source, mirrored, target)
    ]
    masks = [np.zeros((60, 120), bool) for _ in range(2)]
    masks[0][10:30, 20:50] = masks[1][20:40, 50:80] = True
    pose = {"partners": np.array([1, 0]), "masks": (masks[0], masks[1]) if masked else None}
    points = np.array([[30.0, 20.0], [90.0, 40.0]])
    truth = Matcher(Matching()).match(source, target, points, Pose([mirrored], **pose))
    found = Matcher(Matching()).match(there[0], there[2], points, Pose([there[1]], **pose))
    assert found.mirrored == truth.mirrored
    np.testing.assert_allclose(found.target, truth.target, atol=1e-3)
    for a, b in ((source, there[0]), (mirrored, there[1])):
        distances = [
            instance_distance(x, y, pose["masks"]) for x, y in ((a, target), (b, there[2]))
        ]
        np.testing.assert_allclose(*distances, rtol=1e-5)


def test_an_ensemble_takes_them_to_the_host(lite: Pipeline, on_device: Pipeline, cat, cheetah):
    maps = [[each.extract(path)] * 2 for path in (cat, cheetah) for each in (on_device,)]
    points = np.array([[262.0, 240.0]])
    matching = lite.bundle.manifest.recipe.matching
    found = Matcher(matching, (0.5, 0.5)).match(*maps, points)
    np.testing.assert_allclose(found.target, lite.match(cat, cheetah, points).target, atol=1e-2)


def test_memory_that_runs_out_is_one_clear_error(on_device: Pipeline, cat: Path, monkeypatch):
    features = on_device.extract(cat)

    def full(*_: object) -> None:
        raise CudaError("2000 bytes of GPU memory are not there")

    monkeypatch.setattr(type(features.array.device), "allocate", full)
    for work in (on_device.extract, lambda image: on_device.match(features, features)):
        with pytest.raises(GeoAwareError, match="GPU memory"):
            work(cat)


def test_features_that_are_not_finite_are_refused(on_device: Pipeline, device, cat: Path):
    features = on_device.extract(cat)
    broken = features.array.numpy() * np.float32(np.nan)
    other = DeviceFeatureMap(DeviceArray.of(device, broken), features.frame, features.bundle)
    with pytest.raises(GeoAwareError, match="NaN"):
        on_device.match(features, other)
