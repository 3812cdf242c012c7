"""Masks made from annotated boxes: each object once, kept, whole, and told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoaware.runtime import Bundle
from geoaware.runtime.datasets import AnnotatedImage, Problem
from geoaware.runtime.datasets.pair import Box
from geoaware.runtime.errors import GeoAwareError, InputError
from geoaware.runtime.evaluation.made_masks import MadeMasks, make_masks
from geoaware.runtime.segmenter import Segmenter
from geoaware.runtime.store import Key

from ..mask_bundle import mask_bundle

SIZE = (120, 80)


class Notes:
    """A watch that keeps what it is told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.lines: list[str] = []

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        self.stages.append((name, total))
        yield lambda count: None

    def note(self, line: str) -> None:
        self.lines.append(line)

    def problems(self, found: Sequence[Problem]) -> None:
        raise AssertionError(found)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return mask_bundle(tmp_path_factory.mktemp("bundles") / "rules")


def annotated(folder: Path, name: str, box: Box | None, shade: int = 90) -> AnnotatedImage:
    path = folder / f"{name}.png"
    if not path.exists():
        Image.new("RGB", SIZE, (shade, shade, shade)).save(path)
    return AnnotatedImage(path, SIZE, np.zeros((0, 2)), np.zeros(0, np.bool_), box)


def made(
    bundle: Bundle, store: Path, images: Sequence[AnnotatedImage], watch: Notes | None = None
) -> MadeMasks:
    content = {image.path: Key.of(image.path).digest for image in images}
    masks = MadeMasks(store, bundle, content)
    return make_masks(masks, images, "cpu", 2, watch or Notes())


def test_a_mask_is_what_the_segmenter_says_of_the_box(bundle: Bundle, tmp_path: Path):
    box = (20.0, 10.0, 90.0, 70.0)
    image = annotated(tmp_path, "one", box)
    found = made(bundle, tmp_path / "store", [image]).of(image)
    np.testing.assert_array_equal(found, Segmenter(bundle).mask(image.path, box).mask)


def test_masks_are_made_once_and_kept(bundle: Bundle, tmp_path: Path, monkeypatch):
    images = [annotated(tmp_path, name, (20, 10, 90, 70), i) for i, name in enumerate("abc")]
    first, again = Notes(), Notes()
    masks = made(bundle, tmp_path / "store", [*images, *images], first)
    assert first.stages == [("masks", 3)]
    monkeypatch.setattr(Segmenter, "__init__", None)  # nothing may be loaded
    assert made(bundle, tmp_path / "store", images, again).digest == masks.digest
    assert again.stages == []


def test_what_is_damaged_or_missing_is_made_again(bundle: Bundle, tmp_path: Path):
    images = [annotated(tmp_path, name, (20, 10, 90, 70), i) for i, name in enumerate("abcd")]
    masks = made(bundle, tmp_path / "store", images)
    paths = [masks.path(image) for image in images]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:40])
    Image.new("1", (5, 5), 1).save(paths[2])
    watch = Notes()
    assert made(bundle, tmp_path / "store", images, watch).digest == masks.digest
    assert watch.stages == [("masks", 3)]


def test_two_objects_of_one_image_have_a_mask_each(bundle: Bundle, tmp_path: Path, monkeypatch):
    left, right = (annotated(tmp_path, "two", box) for box in ((5, 5, 55, 75), (65, 5, 115, 75)))
    encoded = []
    embed = Segmenter.embed
    monkeypatch.setattr(
        Segmenter, "embed", lambda self, image: encoded.append(1) or embed(self, image)
    )
    masks = made(bundle, tmp_path / "store", [left, right])
    assert len(encoded) == 1
    assert masks.of(left)[:, :60].sum() == masks.of(left).sum() > 1000
    assert masks.of(right)[:, 60:].sum() == masks.of(right).sum() > 1000


def test_other_bundles_have_other_masks(bundle: Bundle, tmp_path: Path):
    """Also where only the mask decoder differs."""
    image = annotated(tmp_path, "one", (20, 10, 90, 70))
    manifest = bundle.manifest
    file = manifest.masks.model.files[0].model_copy(update={"sha256": "0" * 64})
    model = manifest.masks.model.model_copy(update={"files": (file,)})
    decoder = manifest.masks.model_copy(update={"model": model})
    other = Bundle(bundle.path, manifest.model_copy(update={"masks": decoder}))
    content = {image.path: "0" * 64}
    paths = {MadeMasks(tmp_path, each, content).path(image) for each in (bundle, other)}
    assert len(paths) == 2


def test_the_digest_changes_with_the_masks(bundle: Bundle, tmp_path: Path):
    image = annotated(tmp_path, "one", (20, 10, 90, 70))
    first = made(bundle, tmp_path / "store", [image])
    Image.new("1", SIZE, 1).save(first.path(image))
    assert made(bundle, tmp_path / "store", [image]).digest != first.digest


def test_a_box_reaches_the_images_border_at_most(bundle: Bundle, tmp_path: Path):
    image = annotated(tmp_path, "one", (-1.0, -0.5, 121.0, 80.5))
    assert made(bundle, tmp_path / "store", [image]).of(image).mean() > 0.9


def test_where_nothing_is_found_the_box_is_the_mask(bundle: Bundle, tmp_path: Path):
    """The rules find nothing in a box that is smaller than their cells."""
    watch = Notes()
    image = annotated(tmp_path, "small", (50.5, 40.0, 52.0, 42.0))
    mask = made(bundle, tmp_path / "store", [image], watch).of(image)
    assert np.argwhere(mask).tolist() == [[40, 50], [40, 51], [41, 50], [41, 51]]
    assert watch.lines == ["1 objects have an empty mask; their boxes are taken"]


def test_an_image_without_a_box_is_refused(bundle: Bundle, tmp_path: Path):
    with pytest.raises(InputError, match=r"one\.png: has no box"):
        made(bundle, tmp_path / "store", [annotated(tmp_path, "one", None)])


def test_a_store_that_cannot_be_written_is_named(bundle: Bundle, tmp_path: Path):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(GeoAwareError, match="cannot be made"):
        made(bundle, tmp_path / "store", [annotated(tmp_path, "one", (20, 10, 90, 70))])
