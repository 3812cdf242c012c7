from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoaware.runtime import Bundle, FeatureMap, GeoAwareError, Matches, Pipeline
from geoaware.runtime.bundle import build_command, find, home, read_manifest
from geoaware.runtime.errors import InputError
from geoaware.runtime.recipe import Matching


def test_features_are_unit_descriptors_of_the_whole_frame(lite: Pipeline, cat: Path):
    features = lite.extract(cat)
    grid = lite.bundle.manifest.recipe.grid
    assert features.descriptors.shape[:2] == (grid, grid)
    assert features.descriptors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=2), 1, atol=1e-5)
    assert (features.frame.width, features.frame.height) == (451, 300)


def test_the_cats_nose_is_the_cheetahs_nose(lite: Pipeline, cat: Path, cheetah: Path):
    matches = lite.match(cat, cheetah, points=[(262, 240)])
    assert np.linalg.norm(matches.target[0] - (121, 150)) < 12


def test_an_image_matches_itself(lite: Pipeline, cat: Path):
    matches = lite.match(cat, cat, matching=Matching())
    assert len(matches) == 25
    assert matches.mutual.all()
    np.testing.assert_allclose(matches.similarity, 1, atol=1e-5)
    half_a_cell = np.array([451, 300]) / lite.bundle.manifest.recipe.grid / 2
    assert (abs(matches.target - matches.source) <= half_a_cell + 1e-6).all()


def test_mirroring_the_target_mirrors_the_match(lite: Pipeline, cat: Path, cheetah: Path):
    nose = [(262, 240)]
    plain = lite.match(cat, cheetah, nose).target[0]
    mirrored = Image.open(cheetah).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert abs(256 - lite.match(cat, mirrored, nose).target[0, 0] - plain[0]) < 10


def test_images_and_their_features_match_alike(lite: Pipeline, cat: Path, cheetah: Path):
    from_images = lite.match(cat, cheetah)
    from_features = lite.match(lite.extract(cat), lite.extract(Image.open(cheetah)))
    for name in ("source", "target", "similarity", "mutual"):
        np.testing.assert_array_equal(getattr(from_images, name), getattr(from_features, name))


def test_mutual_means_the_way_back_leads_to_the_same_cell(lite: Pipeline, cat: Path, cheetah: Path):
    a, b = lite.extract(cat), lite.extract(cheetah)
    matches = lite.match(a, b, matching=Matching())
    back = lite.match(b, a, matches.target, matching=Matching())
    same = (a.grid.cells(back.target) == a.grid.cells(matches.source)).all(axis=1)
    np.testing.assert_array_equal(matches.mutual, same)


def test_matches_can_be_filtered(lite: Pipeline, cat: Path, cheetah: Path):
    matches = lite.match(cat, cheetah)
    kept = matches.where(matches.mutual)
    assert isinstance(kept, Matches)
    assert len(kept) == matches.mutual.sum()
    assert kept.mutual.all()


def test_features_survive_a_file(lite: Pipeline, cat: Path, tmp_path: Path):
    features = lite.extract(cat)
    features.save(tmp_path / "cat.npz")
    loaded = FeatureMap.load(tmp_path / "cat.npz")
    np.testing.assert_array_equal(loaded.descriptors, features.descriptors)
    assert (loaded.frame, loaded.bundle) == (features.frame, features.bundle)


def test_a_file_without_features_is_refused(tmp_path: Path):
    np.savez(tmp_path / "other.npz", a=1)
    np.save(tmp_path / "array.npz", np.ones(3))
    (tmp_path / "array.npz.npy").rename(tmp_path / "array.npz")
    (tmp_path / "zip.npz").write_bytes(b"PK\x03\x04 no more of it")
    for name in ("other.npz", "array.npz", "zip.npz"):
        with pytest.raises(GeoAwareError, match=f"{name}: holds no feature map"):
            FeatureMap.load(tmp_path / name)


def test_features_of_different_bundles_cannot_be_compared(lite: Pipeline, cat: Path):
    ours = lite.extract(cat)
    theirs = FeatureMap(ours.descriptors, ours.frame, "another")
    with pytest.raises(GeoAwareError, match="different bundles"):
        lite.match(ours, theirs)


def test_features_that_are_not_finite_are_refused(lite: Pipeline, cat: Path):
    features = lite.extract(cat)
    broken = FeatureMap(features.descriptors * np.nan, features.frame, features.bundle)
    with np.errstate(all="ignore"), pytest.raises(GeoAwareError, match="NaN"):
        lite.match(features, broken)


def test_threads_may_share_a_pipeline(lite: Pipeline, cat: Path):
    truth, found = lite.extract(cat).descriptors, []
    threads = [
        threading.Thread(target=lambda: found.append(lite.extract(cat).descriptors))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(np.array_equal(each, truth) for each in found)


def test_a_gpu_that_is_not_there_is_refused_and_auto_takes_the_cpu(lite: Pipeline, no_gpu: None):
    for device in ("cuda", "onnxruntime-tensorrt"):
        with pytest.raises(GeoAwareError, match="no NVIDIA driver"):
            Pipeline(lite.bundle, device)
    for device in ("tensorrt", "tensorrt-rtx"):
        with pytest.raises(InputError, match=f"has no {device} engine; build one"):
            Pipeline(lite.bundle, device)
    with pytest.raises(GeoAwareError, match="no device 'gpu'"):
        Pipeline(lite.bundle, "gpu")
    assert Pipeline(lite.bundle, "auto").device == "cpu"


@pytest.fixture
def copy(lite: Pipeline, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lite.bundle.path, tmp_path / "copy"))


def edit(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_bundle_is_found_by_folder_and_by_name(copy: Path):
    assert Bundle.open(copy).path == copy
    assert Bundle.open("lite").path == Bundle.open().path
    built = home() / "lite"
    shutil.copytree(copy, built)
    assert Bundle.open("lite").path == built
    assert Bundle.open(built).path == built
    assert Bundle.open().path != built, "without a name it is the one that ships"


def test_a_bundle_that_is_not_built_names_the_command_that_builds_it():
    with pytest.raises(GeoAwareError, match=r"not built; build it: geoexport build dinov2-b \("):
        find("dinov2-b")
    assert build_command("lite-384px-fp16") == "geoexport build lite --frame 384 --precision fp16"


def test_a_changed_file_is_noticed(copy: Path):
    with (copy / "features.onnx").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"?")
    with pytest.raises(GeoAwareError, match=r"features\.onnx: changed since it was built.*--out"):
        Pipeline.load(copy)


def test_a_missing_file_and_a_link_are_noticed(copy: Path, tmp_path: Path):
    (copy / "features.onnx").rename(tmp_path / "elsewhere.onnx")
    with pytest.raises(GeoAwareError, match=r"features\.onnx: missing from the bundle"):
        Pipeline.load(copy)
    (copy / "features.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(GeoAwareError, match=r"features\.onnx: missing from the bundle"):
        Pipeline.load(copy)


@pytest.mark.parametrize("name", ["../lite/features.onnx", "/etc/passwd", "a/b", "..", "", "C:x"])
def test_no_file_of_a_manifest_lies_outside_the_bundle(copy: Path, name: str):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["models"][0]["files"][0]["name"] = name
    edit(copy, models=manifest["models"])
    with pytest.raises(GeoAwareError, match="is not the name of a file in the bundle's folder"):
        read_manifest(copy)


def test_manifests_of_another_time_are_refused(copy: Path):
    edit(copy, schema_version=99)
    with pytest.raises(GeoAwareError, match="schema_version: Input should be 1.*--force"):
        Bundle.open(copy)


def test_broken_manifests_are_named(copy: Path):
    edit(copy, surprise=1)
    with pytest.raises(GeoAwareError, match=r"manifest\.json: .*surprise: Extra inputs"):
        Bundle.open(copy)
    (copy / "manifest.json").write_text("{")
    with pytest.raises(GeoAwareError, match=r"manifest\.json: .*Invalid JSON"):
        Bundle.open(copy)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("foo", ["batch", 3, 512, 512], "no model before gives the input 'foo'"),
        ("image", ["batch", 3, "h", "w"], "the side of the input 'image' must be a number"),
    ],
)
def test_models_that_do_not_fit_together_are_refused(copy: Path, name, shape, message):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["models"][0]["inputs"] = [{"name": name, "shape": shape, "dtype": "float32"}]
    edit(copy, models=manifest["models"])
    with pytest.raises(GeoAwareError, match=message):
        Bundle.open(copy)


def test_a_graph_that_is_not_the_manifests_is_refused(copy: Path):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["models"][0]["inputs"][0]["shape"] = ["batch", 3, 64, 64]
    edit(copy, models=manifest["models"])
    with pytest.raises(GeoAwareError, match="its inputs are not those of the manifest"):
        Pipeline.load(copy)


def test_a_file_that_is_no_model_is_named(copy: Path):
    import hashlib

    content = b"not a model"
    (copy / "features.onnx").write_bytes(content)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["models"][0]["files"][0] |= {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    edit(copy, models=manifest["models"])
    with pytest.raises(GeoAwareError, match=r"features\.onnx: onnxruntime .* cannot load it"):
        Pipeline.load(copy)


def test_the_shipped_bundle_is_small_and_says_nothing_of_the_machine_that_built_it(lite: Pipeline):
    files = list(lite.bundle.path.iterdir())
    assert sum(file.stat().st_size for file in files) <= 6_000_000
    for file in files:
        assert b"site-packages" not in file.read_bytes()
