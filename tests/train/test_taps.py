"""The store of taps: raw, in half precision, whole or not at all, and only of what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from geoaware.export import recipe_files
from geoaware.export.weights import Weights
from geoaware.runtime import Frame
from geoaware.runtime.errors import GeoAwareError
from geoaware.runtime.recipe import Recipe
from geoaware.runtime.store import FeatureStore, Key
from geoaware.runtime.store_upkeep import backbones_of_taps, entries, left_behind
from geoaware.train.taps import TapStore

LITE = recipe_files.load("lite")
WEIGHTS = {"efficientnet-lite0": Weights({"model": Path("a")}, "local:a", sha256="ab" * 32)}
KEY = Key("ab" * 32)
FRAME = Frame.fit("letterbox", 84, 300, 200)


def taps(seed: int = 0) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    shapes = [(112, 6, 6), (192, 3, 3), (192, 3, 3)]
    return [generator.normal(0, 9, shape).astype(np.float32) for shape in shapes]


def changed(**content: Any) -> Recipe:
    return Recipe.model_validate(LITE.model_dump() | content)


def backbone(**content: Any) -> Recipe:
    return changed(backbones=[LITE.backbones[0].model_dump() | content])


@pytest.fixture
def store(tmp_path: Path) -> TapStore:
    return TapStore.open(tmp_path / "store", LITE, WEIGHTS)


def test_what_was_stored_comes_back(store: TapStore):
    made = taps()
    made[1] = np.asfortranarray(made[1])  # as channels that lie together come from a network
    store.save(KEY, made, FRAME)
    found = store.load(KEY)
    assert (found.key, found.identity, found.frame) == (KEY, store.identity, FRAME)
    for stored, given in zip(found.taps, made, strict=True):
        assert stored.dtype == np.float16
        assert stored.flags.c_contiguous
        assert (stored == given.astype(np.float16)).all()
    assert store.holds(KEY)


def test_any_tool_can_read_an_entry_and_what_it_is_of(store: TapStore):
    store.save(KEY, taps(), FRAME)
    found = load_file(store.path(KEY))
    assert {name: tensor.shape for name, tensor in found.items()} == {
        "backbone0.block10": (112, 6, 6),
        "backbone0.block12": (192, 3, 3),
        "backbone0.block14": (192, 3, 3),
    }
    of = json.loads((store.folder / "taps.json").read_text("utf-8"))
    assert of["weights"] == {"efficientnet-lite0": "ab" * 32}
    assert of["backbones"][0]["taps"] == ["block10", "block12", "block14"]
    assert of["frame"]["side"] == 512


def test_what_only_fuses_or_matches_differently_shares_its_taps(store: TapStore):
    lighter = [tap.model_dump() | {"weight": 0.3} for tap in LITE.backbones[0].taps]
    for recipe in (
        changed(name="other", grid=16),
        changed(normalise="none", head="mine"),
        changed(matching={"method": "argmax"}),
        backbone(taps=lighter),
    ):
        assert TapStore.open(store.root, recipe, WEIGHTS) == store


def test_everything_that_changes_taps_changes_their_place(store: TapStore):
    frame = LITE.frame.model_dump()
    other = {"efficientnet-lite0": Weights({}, "random:1")}
    stores = [
        store,
        TapStore.open(store.root, changed(frame=frame | {"side": 256}), WEIGHTS),
        TapStore.open(store.root, changed(frame=frame | {"mode": "letterbox"}), WEIGHTS),
        TapStore.open(store.root, changed(frame=frame | {"resample": "lanczos"}), WEIGHTS),
        TapStore.open(store.root, backbone(side=256), WEIGHTS),
        TapStore.open(store.root, backbone(taps=[{"at": "block10"}]), WEIGHTS),
        TapStore.open(store.root, LITE, other),
        TapStore.open(store.root, LITE, {"efficientnet-lite0": Weights({}, "random:2")}),
    ]
    assert len({each.identity for each in stores}) == len(stores)
    paths = {each.path(Key(KEY.digest, turned)) for each in stores for turned in (False, True)}
    assert len(paths) == 2 * len(stores)


def test_the_features_of_bundles_beside_them_are_left_alone(store: TapStore):
    store.save(KEY, taps(), FRAME)
    assert FeatureStore(store.root, store.identity).holds(KEY) is None


def test_the_upkeep_of_the_store_knows_taps(store: TapStore):
    for mirrored in (False, True):
        store.save(Key(KEY.digest, mirrored), taps(), FRAME)
    mirror, plain = entries(store.root)
    assert (plain.path, plain.owner, plain.kind) == (store.path(KEY), store.identity, "taps")
    assert (plain.key, mirror.key.mirrored) == (KEY, True)
    assert backbones_of_taps(store.root, store.identity) == "efficientnet-lite0"
    assert plain.holds()
    shutil.copy(plain.path, mirror.path)
    assert not mirror.holds()
    unfinished = [store.folder / ".geoaware-ab", plain.path.with_name(".geoaware-cd")]
    for path in unfinished:
        path.write_bytes(b"half")
    assert set(left_behind(store.root)) == {*unfinished}
    (store.folder / "taps.json").write_text("[]")
    assert backbones_of_taps(store.root, store.identity) == ""


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "text", "header"])
def test_damage_is_seen(store: TapStore, damage: str):
    assert store.holds(KEY) is None
    store.save(KEY, taps(), FRAME)
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


def test_an_entry_of_another_image_or_other_weights_does_not_hold(store: TapStore):
    store.save(KEY, taps(), FRAME)
    random = TapStore.open(store.root, LITE, {"efficientnet-lite0": Weights({}, "random:1")})
    for other, key in ((store, Key("cd" * 32)), (store, Key(KEY.digest, True)), (random, KEY)):
        other.path(key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(store.path(KEY), other.path(key))
        assert other.holds(key) is False
        with pytest.raises(GeoAwareError, match="of another image or recipe"):
            other.load(key)


@pytest.mark.parametrize(("value", "said"), [(70000, "70000"), (np.inf, "inf"), (np.nan, "nan")])
def test_what_half_precision_cannot_hold_is_not_stored(store: TapStore, value: float, said: str):
    made = taps()
    made[2][5, 1, 1] = value
    with pytest.raises(GeoAwareError, match=f"the tap backbone0.block14 holds {said}, beyond"):
        store.save(KEY, made, FRAME)
    assert store.holds(KEY) is None


def test_a_store_that_says_it_is_of_something_else_is_refused(store: TapStore):
    described = store.folder / "taps.json"
    described.write_text(described.read_text("utf-8").replace("block14", "block13"), "utf-8")
    with pytest.raises(GeoAwareError, match=r"taps\.json: changed since it was written"):
        TapStore.open(store.root, LITE, WEIGHTS)
    described.unlink()
    assert TapStore.open(store.root, LITE, WEIGHTS) == store


def test_a_file_where_the_store_should_be_is_one_clear_error(tmp_path: Path):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(GeoAwareError, match="cannot be made"):
        TapStore.open(tmp_path / "store", LITE, WEIGHTS)
