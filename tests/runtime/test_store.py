"""The feature store: small, exact enough, whole or not at all, and never silently wrong."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from geoaware.examples import PHOTOGRAPHS
from geoaware.kernels import unit
from geoaware.runtime import FeatureMap, Frame, Pipeline
from geoaware.runtime.errors import GeoAwareError
from geoaware.runtime.extraction import extract_all
from geoaware.runtime.store import FeatureStore, Key, StoredAs

BUNDLE = "0123456789abcdef"
ORIGINAL = 25_000_000  # bytes an image in the reference system
KEY = Key("ab" * 32)


def features(rows: int = 6, columns: int = 5, channels: int = 16) -> FeatureMap:
    descriptors = np.random.default_rng(0).standard_normal((rows, columns, channels))
    return FeatureMap(unit(descriptors), Frame.fit("letterbox", 84, 300, 200), BUNDLE)


@pytest.fixture(params=["float16", "int8"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store", BUNDLE, request.param)


def test_what_was_stored_comes_back(store: FeatureStore):
    made = features()
    store.save(KEY, made)
    found = store.load(KEY)
    assert (found.bundle, found.grid) == (BUNDLE, made.grid)
    assert found.descriptors.dtype == np.float32
    np.testing.assert_allclose(found.descriptors, made.descriptors, atol=4e-3)
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=2), 1, atol=1e-3)
    cells = np.array([[0, 0], [4, 5], [2, 3]])
    assert (found.at(cells) == found.descriptors[cells[:, 1], cells[:, 0]]).all()
    assert found.at(np.empty((0, 2), np.intp)).shape == (0, 16)


def test_a_cell_without_features_stays_zero(store: FeatureStore):
    made = features()
    made.descriptors[1, 2] = 0
    store.save(KEY, made)
    assert not store.load(KEY).descriptors[1, 2].any()


@pytest.mark.parametrize(("stored_as", "share"), [("float16", 4), ("int8", 8)])
def test_an_entry_takes_a_quarter_or_an_eighth_of_the_original(
    tmp_path: Path, stored_as: StoredAs, share: int
):
    store = FeatureStore(tmp_path, BUNDLE, stored_as)
    store.save(KEY, features(60, 60, 768))
    assert store.path(KEY).stat().st_size <= ORIGINAL / share


def test_any_tool_can_read_an_entry(tmp_path: Path):
    store = FeatureStore(tmp_path, BUNDLE)
    store.save(KEY, features())
    tensors = load_file(store.path(KEY))
    assert tensors["descriptors"].shape == (6, 5, 16)
    assert tensors["descriptors"].dtype == np.float16


def test_mirrored_other_kinds_and_other_bundles_have_entries_of_their_own(tmp_path: Path):
    paths = {
        FeatureStore(tmp_path, bundle, kind).path(Key("ab" * 32, mirrored))
        for bundle in (BUNDLE, BUNDLE[::-1])
        for kind in ("float16", "int8")
        for mirrored in (False, True)
    }
    assert len(paths) == 8


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "text", "header"])
def test_damage_is_seen(store: FeatureStore, damage: str):
    store.save(KEY, features())
    path = store.path(KEY)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    header = whole.replace(b'\\"width\\": 300', b'\\"width\\": 900')
    assert header != whole
    path.write_bytes(
        {
            "cut": whole[:-7], "flipped": flipped, "emptied": b"", "text": b"no entry",
            "header": header,
        }[damage]
    )  # fmt: skip
    assert store.holds(KEY) is False
    if damage not in ("flipped", "header"):
        with pytest.raises(GeoAwareError, match="no entry of the feature store"):
            store.load(KEY)


def test_an_entry_of_another_image_does_not_hold(store: FeatureStore):
    other = Key("cd" * 32)
    store.save(KEY, features())
    store.path(other).parent.mkdir(parents=True)
    shutil.copy(store.path(KEY), store.path(other))
    assert store.holds(other) is False
    with pytest.raises(GeoAwareError, match="of another image or bundle"):
        store.load(other)


def test_descriptors_that_are_not_finite_are_not_stored(store: FeatureStore):
    made = features()
    made.descriptors[2, 2, 3] = np.nan
    with pytest.raises(GeoAwareError, match="not stored: the descriptors hold NaN"):
        store.save(KEY, made)
    assert store.holds(KEY) is None


def test_a_damaged_entry_is_made_again_and_said(tmp_path: Path, lite: Pipeline):
    store = FeatureStore(tmp_path, lite.bundle.manifest.hash())
    images = list(PHOTOGRAPHS)
    first = extract_all(images, store, lambda: lite)
    assert (first.extracted, first.from_store, first.damaged) == (4, 0, [])
    path = store.path(first.keys[images[0]])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    second = extract_all(images, store, lambda: lite)
    assert (second.extracted, second.from_store, second.damaged) == (1, 3, [path])
    assert path.read_bytes() == whole


def test_an_image_is_extracted_once_whatever_its_name(tmp_path: Path, lite: Pipeline):
    copies = [Path(shutil.copy(PHOTOGRAPHS[0], tmp_path / f"{n}.png")) for n in range(3)]
    store = FeatureStore(tmp_path / "store", lite.bundle.manifest.hash())
    done = extract_all(copies, store, lambda: lite, workers=3)
    assert done.extracted == 1
    assert len(done.keys) == 3


def test_nothing_is_loaded_where_everything_is_there(tmp_path: Path, lite: Pipeline):
    store = FeatureStore(tmp_path, lite.bundle.manifest.hash())
    extract_all(PHOTOGRAPHS, store, lambda: lite)

    def never() -> Pipeline:
        raise AssertionError("the bundle was loaded")

    assert extract_all(PHOTOGRAPHS, store, never).from_store == 4


def test_mirrored_features_are_those_of_the_mirror_image(tmp_path: Path, lite: Pipeline):
    from PIL import Image, ImageOps

    store = FeatureStore(tmp_path, lite.bundle.manifest.hash())
    done = extract_all(PHOTOGRAPHS[:1], store, lambda: lite, mirrored=True)
    stored = store.load(done.keys[PHOTOGRAPHS[0]]).descriptors
    mirrored = lite.extract(ImageOps.mirror(Image.open(PHOTOGRAPHS[0])))
    np.testing.assert_allclose(stored, mirrored.descriptors, atol=1e-4)


def test_images_that_cannot_be_read_are_told_and_the_others_are_made(
    tmp_path: Path, lite: Pipeline
):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    store = FeatureStore(tmp_path / "store", lite.bundle.manifest.hash())
    images = [*PHOTOGRAPHS[:2], broken, tmp_path / "missing.png"]
    done = extract_all(images, store, lambda: lite, workers=2)
    assert done.extracted == 2
    assert set(done.failed) == {broken, tmp_path / "missing.png"}
    assert "is not an image" in done.failed[broken]


def test_the_result_does_not_depend_on_workers_or_threads(tmp_path: Path, lite: Pipeline):
    entries = []
    for workers, threads in ((1, 2), (3, 1)):
        pipeline = Pipeline(lite.bundle, threads=threads)
        store = FeatureStore(tmp_path / str(workers), lite.bundle.manifest.hash())
        done = extract_all(PHOTOGRAPHS, store, lambda p=pipeline: p, workers=workers)
        entries.append([store.path(done.keys[path]).read_bytes() for path in PHOTOGRAPHS])
    assert entries[0] == entries[1]


def extraction(images: Path, store: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "geoaware.runtime", "extract", images, "--store", store]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of sixty different pictures."""
    from PIL import Image

    folder = tmp_path / "many"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(60):
        pixels = generator.integers(0, 256, (200, 300, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def test_a_killed_extraction_goes_on_where_it_was(tmp_path: Path, many: Path):
    store = tmp_path / "store"
    process = extraction(many, store)
    while not len(list(store.glob("*/*/*/*.safetensors"))) > 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = len(list(store.glob("*/*/*/*.safetensors")))
    assert there < 60
    output, _ = extraction(many, store).communicate()
    assert output.decode() == f"images: {60 - there} extracted, {there} in the store already\n"


def test_two_processes_may_fill_a_store_at_once(tmp_path: Path, many: Path):
    store = tmp_path / "store"
    for path in sorted(many.iterdir())[20:]:
        path.unlink()
    processes = [extraction(many, store) for _ in range(2)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    output, _ = extraction(many, store).communicate()
    assert output.decode() == "images: 0 extracted, 20 in the store already\n"
    assert not [path for path in store.rglob("*") if path.name.startswith(".geoaware")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written_is_one_clear_error(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(GeoAwareError, match="cannot be made"):
        FeatureStore(tmp_path / "store", BUNDLE).save(KEY, features())


def test_a_file_where_the_store_should_be_is_one_clear_error(tmp_path: Path):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(GeoAwareError, match="cannot be made"):
        FeatureStore(tmp_path / "store", BUNDLE).save(KEY, features())
