"""One matcher: single bundles, ensembles, several settings at once, pose alignment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from geoaware.kernels import SoftArgmax, reference, unit
from geoaware.runtime import FeatureMap, Frame, Pipeline
from geoaware.runtime.errors import InputError
from geoaware.runtime.matcher import Matcher
from geoaware.runtime.pose import Pose
from geoaware.runtime.recipe import Matching

ARGMAX = Matching()
SOFT = Matching(method="softargmax", window=5, temperature=0.05, variant="cropped")


def features(seed: int, cells: int, bundle: str = "one", mode: str = "stretch") -> FeatureMap:
    descriptors = np.random.default_rng(seed).standard_normal((cells, cells, 16))
    frame = Frame.fit(mode, cells * 10, 200, 100)
    return FeatureMap(unit(descriptors), frame, bundle)


POINTS = np.array([[10.0, 10.0], [150.0, 80.0], [199.0, 1.0]])


def test_an_ensemble_of_a_bundle_with_itself_is_the_bundle():
    source, target = features(0, 8), features(1, 8)
    alone = Matcher(SOFT).match(source, target, POINTS)
    twice = Matcher(SOFT, (0.25, 0.75)).match([source, source], [target, target], POINTS)
    np.testing.assert_allclose(twice.target, alone.target, atol=1e-4)
    np.testing.assert_allclose(twice.similarity, alone.similarity, atol=1e-6)
    assert twice.mutual.tolist() == alone.mutual.tolist()


def test_an_ensemble_finds_the_peak_of_the_weighted_sum_on_the_smallest_grid():
    sources = features(0, 8, "one"), features(1, 6, "two")
    targets = features(2, 8, "one"), features(3, 6, "two")
    weights = (0.3, 0.7)
    found = Matcher(ARGMAX, weights).match(sources, targets, POINTS)
    queries = [each.at(each.grid.cells(POINTS)) for each in sources]
    total = reference.ensemble_similarity(
        queries, [each.descriptors for each in targets], weights, (6, 6)
    )
    rows, columns = np.divmod(total.reshape(3, -1).argmax(axis=1), 6)
    expected = np.stack([(columns + 0.5) * 200 / 6, (rows + 0.5) * 100 / 6], axis=1)
    np.testing.assert_allclose(found.target, expected)


def test_only_the_weights_shares_count():
    maps = (
        [features(0, 8, "one"), features(1, 8, "two")],
        [features(2, 8, "one"), features(3, 8, "two")],
    )
    one = Matcher(SOFT, (0.25, 0.75)).match(*maps, POINTS)
    same = Matcher(SOFT, (2, 6)).match(*maps, POINTS)
    np.testing.assert_allclose(same.target, one.target, atol=1e-4)


def test_what_does_not_belong_together_is_refused():
    one, other = features(0, 8, "one"), features(1, 8, "two")
    with pytest.raises(InputError, match="different bundles"):
        Matcher(ARGMAX, (0.5, 0.5)).match([one, one], [one, other], POINTS)
    with pytest.raises(InputError, match="1 feature maps and 2 weights"):
        Matcher(ARGMAX, (0.5, 0.5)).match([one], [one], POINTS)
    boxed = features(1, 8, "two", "letterbox")
    with pytest.raises(InputError, match="letterboxed"):
        Matcher(ARGMAX, (0.5, 0.5)).match([one, boxed], [one, boxed], POINTS)
    with pytest.raises(InputError, match="between"):
        Matcher(ARGMAX, (0.5, -0.5))


def test_several_settings_at_once_are_those_one_at_a_time():
    source, target = features(0, 8), features(1, 8)
    settings = [None, SoftArgmax(5, 0.05, "cropped"), SoftArgmax(-3, 0.02, "zeroed")]
    together, similarity = Matcher(ARGMAX).find(source, target, POINTS, settings)
    for setting, found in zip(settings, together, strict=True):
        [alone], _ = Matcher(ARGMAX).find(source, target, POINTS, [setting])
        assert (alone == found).all()
    one = Matcher(ARGMAX).match(source, target, POINTS)
    assert (together[0] == one.target).all()
    assert (similarity == one.similarity).all()


def test_the_way_back_from_a_cell_on_the_padding_starts_there():
    source, target = (features(seed, 8, mode="letterbox") for seed in (0, 1))
    asked = np.array([[110.0, 30.0]])
    [[x, y]] = source.grid.cells(asked)
    target.descriptors[0, 3] = source.descriptors[y, x]  # the image covers rows 2 to 5
    found = Matcher(ARGMAX).match(source, target, asked)
    np.testing.assert_allclose(found.similarity, 1, atol=1e-6)
    assert found.mutual.all()
    assert (found.target[:, 1] == 0).all()


def test_a_mirrored_target_takes_the_mirrored_source(lite: Pipeline, cat: Path):
    image = Image.open(cat)
    source, mirrored = lite.extract(image), lite.extract(ImageOps.mirror(image))
    matcher = Matcher(lite.bundle.manifest.recipe.matching)
    eyes = np.array([[175.0, 110.0], [245.0, 110.0], [212.0, 160.0]])
    partners = np.array([1, 0, 2])  # the eyes change places, the nose stays
    pose = Pose([mirrored], partners)

    same = matcher.match(source, source, eyes, pose)
    assert not same.mirrored
    turned = matcher.match(source, mirrored, eyes, pose)
    assert turned.mirrored
    # Row 0 is "the left eye": in the mirror image it is where the other eye was.
    there = eyes[partners] * (-1, 1) + (image.width, 0)
    assert np.hypot(*(turned.target - there).T).max() < 20


def test_points_without_a_partner_keep_what_was_found_for_them(lite: Pipeline, cat: Path):
    image = Image.open(cat)
    source, mirrored = lite.extract(image), lite.extract(ImageOps.mirror(image))
    matcher = Matcher(lite.bundle.manifest.recipe.matching)
    eye = np.array([[175.0, 110.0]])
    plain = matcher.match(source, mirrored, eye)
    turned = matcher.match(source, mirrored, eye, Pose([mirrored], np.array([-1])))
    assert turned.mirrored
    assert (turned.target == plain.target).all()


def test_masks_decide_by_the_object_alone(lite: Pipeline, cat: Path):
    """Source and target show the same object, mirrored, on different backgrounds."""
    photograph = Image.open(cat)
    noise = np.random.default_rng(0).integers(0, 256, (300, 451, 3), np.uint8)
    inside = np.zeros((300, 451), bool)
    inside[20:260, 120:330] = True

    def on(background: np.ndarray, image: Image.Image, mask: np.ndarray) -> Image.Image:
        return Image.fromarray(np.where(mask[..., None], np.asarray(image), background))

    first = on(noise, photograph, inside)
    second = on(noise[::-1], ImageOps.mirror(photograph), inside[:, ::-1])
    maps = [lite.extract(each) for each in (first, second, ImageOps.mirror(first))]
    masks = inside, inside[:, ::-1]
    points = np.array([[175.0, 110.0]])
    matcher = Matcher(ARGMAX)
    turned = matcher.match(maps[0], maps[1], points, Pose([maps[2]], np.array([0]), masks))
    assert turned.mirrored
    same = matcher.match(maps[0], maps[0], points, Pose([maps[2]], np.array([0]), (inside, inside)))
    assert not same.mirrored
