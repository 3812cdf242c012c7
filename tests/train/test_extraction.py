"""Images to stored taps: what the backbones give, once for each image, whatever comes between."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from geoaware.examples import PHOTOGRAPHS
from geoaware.export import graphs, recipe_files
from geoaware.export.modules import reference_graphs
from geoaware.export.parts import resolve_all
from geoaware.export.verify import frames
from geoaware.runtime import Pipeline
from geoaware.runtime.errors import GeoAwareError, InputError
from geoaware.runtime.recipe import Recipe
from geoaware.runtime.store import Key
from geoaware.train import backbones
from geoaware.train.extraction import Taps, extract

from .watching import Remembered

LITE = recipe_files.load("lite")
TINY = recipe_files.at_side(LITE, 64)

TWO_SIDES = Recipe.model_validate(
    {
        "name": "two-sides",
        "summary": "a transformer and a network of convolutions, each with its own frame",
        "frame": {"mode": "letterbox", "side": 64, "resample": "lanczos"},
        "grid": 4,
        "backbones": [
            {"name": "dinov2-s", "taps": [{"at": "block2"}], "side": 56},
            {"name": "efficientnet-lite0", "taps": [{"at": "block10"}, {"at": "block12"}]},
        ],
        "matching": {"method": "argmax"},
    }
)


def made(store: Path, recipe: Recipe = TINY, images: Any = PHOTOGRAPHS, **options: Any) -> Taps:
    settings: dict[str, Any] = {
        "mirrored": True, "sources": {}, "seed": None, "device": "cpu", "watch": Remembered(),
    }  # fmt: skip
    return extract(images, recipe, store=store, **(settings | options))


def count(store: Path) -> int:
    return len(list(store.glob("*/taps/*/*.safetensors")))


def test_taps_fuse_to_the_descriptors_of_the_shipped_bundle(
    tmp_path: Path, lite: Pipeline, cheetah: Path
):
    taps = made(tmp_path, LITE, [cheetah], mirrored=False)
    assert taps.channels == (112, 192, 192)
    assert {tap.dtype for tap in taps.of(cheetah)} == {torch.float16}
    fused = graphs.Fusion(LITE)(*(tap[None].float() for tap in taps.of(cheetah)))[0].numpy()
    expected = lite.extract(cheetah)
    # The bundle's weights are stored in half precision, so it is not nearer than that.
    cosine = (fused * expected.descriptors).sum(axis=2)
    assert cosine.min() > 0.9995
    assert taps.frame(cheetah) == expected.frame


def test_mirrored_taps_are_those_of_the_mirror_image(tmp_path: Path):
    turned = tmp_path / "turned.png"
    ImageOps.mirror(Image.open(PHOTOGRAPHS[0])).save(turned)
    taps = made(tmp_path / "store", images=[PHOTOGRAPHS[0], turned])
    for mirrored in (False, True):
        for own, other in zip(
            taps.of(PHOTOGRAPHS[0], mirrored), taps.of(turned, not mirrored), strict=True
        ):
            torch.testing.assert_close(own, other, atol=2e-3, rtol=2e-3)
    plain, mirror = (taps.of(turned, each)[0] for each in (False, True))
    assert (plain - mirror).abs().max() > 0.5


def test_every_backbone_sees_its_own_frame(tmp_path: Path, cat: Path):
    taps = made(tmp_path, TWO_SIDES, [cat], seed=3, mirrored=False)
    found = taps.of(cat)
    assert [tuple(tap.shape) for tap in found] == [(384, 4, 4), (112, 4, 4), (192, 2, 2)]
    parts = reference_graphs(TWO_SIDES, resolve_all(TWO_SIDES, {}, 3))
    expected = graphs.outputs(parts, frames(TWO_SIDES, cat))
    for name, tap in zip(taps.store.names, found, strict=True):
        torch.testing.assert_close(tap.float(), expected[name][0], atol=4e-3, rtol=2e-3)
    assert (taps.frame(cat).side, taps.frame(cat).inner_height) == (64, 43)


def test_a_head_takes_no_part_in_its_taps(tmp_path: Path):
    content = TINY.model_dump() | {"head": "not-trained-yet", "normalise": "none"}
    headed = made(tmp_path, Recipe.model_validate(content))
    assert headed.store == made(tmp_path).store
    assert headed.recipe.head == "not-trained-yet"
    assert list(headed.weights) == ["efficientnet-lite0"]


def test_sizes_are_told_before_and_are_those_on_the_disk(tmp_path: Path):
    watch = Remembered()
    taps = made(tmp_path, recipe_files.at_side(LITE, 256), PHOTOGRAPHS[:2], watch=watch)
    [note] = watch.notes
    assert note == (
        "4 maps: 2 images and their mirror images; "
        f"0.11 MB each, 0 MB in {tmp_path / taps.store.identity / 'taps'}"
    )
    assert watch.stages["lite: taps"] == (4, 4)
    sizes = [path.stat().st_size for path in tmp_path.glob("*/taps/*/*.safetensors")]
    assert sizes == pytest.approx([107_000] * 4, rel=0.03)


def test_a_disk_without_room_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    full = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(GeoAwareError, match=r"do not fit, 0 MB are free; .* with --store"):
        made(tmp_path)
    assert count(tmp_path) == 0


def test_what_is_there_is_kept_without_loading_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert made(tmp_path, mirrored=False).made == 4
    watch = Remembered()
    assert made(tmp_path, watch=watch).made == 4
    assert watch.notes[0].startswith("4 maps: 4 mirror images; ")
    assert watch.notes[0].endswith("; 4 more are there")
    monkeypatch.setattr(backbones, "Backbones", None)
    assert made(tmp_path).made == 0


def test_a_damaged_entry_is_made_again_and_said(tmp_path: Path):
    taps = made(tmp_path)
    path = taps.store.path(taps.keys[PHOTOGRAPHS[1]])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    watch = Remembered()
    assert made(tmp_path, watch=watch).made == 1
    assert watch.notes[0] == f"{path}: does not hold, is made again"
    assert path.read_bytes() == whole


def test_an_image_is_made_once_whatever_its_name(tmp_path: Path):
    copies = [Path(shutil.copy(PHOTOGRAPHS[0], tmp_path / f"{n}.png")) for n in range(3)]
    taps = made(tmp_path / "store", images=copies)
    assert (taps.made, set(taps.keys)) == (2, set(copies))


def test_batches_do_not_change_the_taps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    alone = made(tmp_path / "alone")
    monkeypatch.setattr(backbones.Backbones, "batch", 6)
    together = made(tmp_path / "together")
    for path in PHOTOGRAPHS:
        for mirrored in (False, True):
            for one, other in zip(
                alone.of(path, mirrored), together.of(path, mirrored), strict=True
            ):
                torch.testing.assert_close(one, other, atol=2e-3, rtol=2e-3)
        assert alone.frame(path) == together.frame(path)


def test_images_that_cannot_be_read_are_told_and_the_others_are_made(tmp_path: Path):
    broken, missing = tmp_path / "broken.png", tmp_path / "missing.png"
    broken.write_bytes(b"not a picture")
    watch = Remembered()
    taps = made(tmp_path / "store", images=[broken, *PHOTOGRAPHS[:2], missing], watch=watch)
    assert (taps.made, set(taps.keys)) == (4, set(PHOTOGRAPHS[:2]))
    assert set(taps.failed) == {broken, missing}
    assert [(each.where, each.what.split(";")[0]) for each in watch.told] == [
        (str(broken), "is not an image"),
        (str(missing), "cannot be read: No such file or directory"),
    ]
    with pytest.raises(InputError, match="none of 2 images can be read"):
        made(tmp_path / "store", images=[broken, missing])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_clear_error(tmp_path: Path):
    with pytest.raises(InputError, match="--device cuda: PyTorch finds no GPU"):
        made(tmp_path, device="cuda")


@pytest.mark.gpu
def test_a_gpu_makes_the_same_taps_in_half_precision(tmp_path: Path):
    one, other = (made(tmp_path / name, LITE, device=name) for name in ("cpu", "cuda"))
    for path in PHOTOGRAPHS:
        for mirrored in (False, True):
            for cpu, gpu in zip(one.of(path, mirrored), other.of(path, mirrored), strict=True):
                error = (cpu.float() - gpu.float()).norm() / cpu.float().norm()
                assert error < 0.02


PROGRAM = """
import sys
from pathlib import Path
from geoaware.runtime.cli.watch import Bars
from geoaware.export import recipe_files
from geoaware.train.extraction import extract
folder, store = map(Path, sys.argv[1:])
recipe = recipe_files.at_side(recipe_files.load("lite"), 64)
extract(sorted(folder.iterdir()), recipe, mirrored=True, store=store, sources={}, seed=None,
        device="cpu", watch=Bars())
"""


def test_a_killed_extraction_goes_on_where_it_was(tmp_path: Path):
    images, store = tmp_path / "images", tmp_path / "store"
    images.mkdir()
    generator = np.random.default_rng(0)
    for number in range(60):
        pixels = generator.integers(0, 256, (200, 300, 3), np.uint8)
        Image.fromarray(pixels).save(images / f"{number:02}.png")
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, images, store])
    while count(store) < 6:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = count(store)
    assert there < 120
    taps = made(store, images=sorted(images.iterdir()))
    assert taps.made == 120 - there
    keys = [Key(key.digest, turned) for key in taps.keys.values() for turned in (False, True)]
    assert all(taps.store.holds(key) for key in keys)
