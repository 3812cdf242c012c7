"""Architectures with random weights: for timing and tests, and never taken for trained ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from geoaware.export import recipe_files
from geoaware.export.build import build, reverify
from geoaware.export.modules import reference_graphs
from geoaware.export.parts import resolve_all
from geoaware.export.request import Request
from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.bundle import build_command
from geoaware.runtime.cli import georun
from geoaware.runtime.recipe import Recipe

from .conftest import quiet


@pytest.fixture(scope="module")
def request_of_random(tmp_path_factory: pytest.TempPathFactory) -> Request:
    recipe = recipe_files.at_side(recipe_files.load("lite"), 64)
    return Request(recipe, frame=64, seed=3, out=tmp_path_factory.mktemp("random") / "bundle")


@pytest.fixture(scope="module")
def bundle(request_of_random: Request) -> Bundle:
    return build(request_of_random, quiet)[0]


def test_the_bundle_says_that_its_weights_are_random(bundle: Bundle):
    assert bundle.manifest.name == "lite-64px-random"
    [record] = bundle.manifest.weights
    assert (record.source, record.sha256, record.licence) == ("random:3", None, "none")
    assert bundle.manifest.is_random
    assert not Bundle.open().manifest.is_random
    assert build_command("lite-64px-fp16-random") == (
        "geoexport build lite --frame 64 --precision fp16 --random-weights 0"
    )


def test_the_name_says_so_however_they_were_asked_for():
    recipe = recipe_files.load("lite")
    assert Request(recipe, weights={"efficientnet-lite0": "random:1"}).name == "lite-random"
    assert Request(recipe, seed=1, weights={"efficientnet-lite0": "mine.pth"}).name == "lite"


def test_a_seed_gives_the_same_weights_again(bundle: Bundle, request_of_random: Request):
    assert reverify(bundle, {}, quiet) == bundle.manifest.parity
    assert build(request_of_random, quiet) == (bundle, False)
    with pytest.raises(GeoAwareError, match="the bundle there differs in weights"):
        build(replace(request_of_random, seed=4), quiet)


def test_georun_eval_warns_of_them(bundle: Bundle, data: Path, tmp_path: Path):
    command = ["eval", "pf-willow", "--root", str(data / "PF-WILLOW"), "--limit", "1"]
    run = CliRunner().invoke(
        georun, [*command, "--store", str(tmp_path), "--bundle", str(bundle.path)]
    )
    assert run.exit_code == 0
    assert "warning: lite-64px-random has random weights: what it finds means nothing" in run.stderr


def diffusion(**settings: object) -> Recipe:
    content = recipe_files.load("sd15").model_dump()
    content["backbones"][0]["diffusion"] = settings
    return Recipe.model_validate(content)


def test_conditioning_decides_which_parts_need_weights():
    empty = resolve_all(diffusion(conditioning="empty"), {}, seed=0)
    assert list(empty) == ["sd15"]
    caption = resolve_all(diffusion(conditioning="caption", caption="a cat"), {}, seed=0)
    assert list(caption) == ["sd15", "sd15.tokenizer"]
    implicit = resolve_all(diffusion(conditioning="implicit"), {"sd15.unet": "random:1"}, seed=0)
    assert list(implicit) == ["sd15", "sd15.clip", "sd15.captioner", "sd15.unet"]
    assert {part: found.seed for part, found in implicit.items()} == {
        "sd15": 0, "sd15.clip": 0, "sd15.captioner": 0, "sd15.unet": 1
    }  # fmt: skip


def test_random_and_trained_weights_do_not_mix_in_one_backbone(tmp_path: Path):
    (tmp_path / "unet.safetensors").write_bytes(b"anything")
    sources = {"sd15.unet": str(tmp_path / "unet.safetensors")}
    recipe = diffusion(conditioning="empty")
    with pytest.raises(GeoAwareError, match="sd15: random weights are for all of its parts or for"):
        reference_graphs(recipe, resolve_all(recipe, sources, seed=0))


def test_a_tokenizer_beside_the_weights_is_taken(tmp_path: Path):
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / "tokenizer").mkdir(exist_ok=True)
        (tmp_path / "tokenizer" / name).write_text("{}")
    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model",
                 "text_encoder/model"):  # fmt: skip
        path = tmp_path / f"{name}.safetensors"
        path.parent.mkdir()
        path.write_bytes(b"anything")
    recipe = diffusion(conditioning="caption", caption="a cat")
    found = resolve_all(recipe, {"sd15": str(tmp_path)})
    assert found["sd15.tokenizer"].files["vocab"] == tmp_path / "tokenizer" / "vocab.json"


def test_weights_to_fetch_by_hand_are_asked_for_before_any_download():
    with pytest.raises(GeoAwareError) as error:
        resolve_all(recipe_files.load("geo-sd15-dinov2-b"), {})
    message = str(error.value)
    assert message.startswith("sd15.captioner: download odise_label_coco_50e-b67d2efc.pth")
    assert message.endswith("name --weights sd15.captioner=FILE --weights geoaware-sc=FILE")


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"sd15.tokenizer": "vocab.json"}, "name the folder of its vocab.json"),
        ({"sd15.tokenizer": "sd15"}, "sd15 is no sd15.tokenizer"),
        ({"sd15": "dinov2-b"}, "dinov2-b is no sd15"),
    ],
)
def test_weights_of_another_kind_are_refused(
    sources: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vocab.json").write_text("{}")
    recipe = diffusion(conditioning="caption", caption="a cat")
    with pytest.raises(GeoAwareError, match=message):
        resolve_all(recipe, sources, seed=None if "sd15" in sources else 0)


def test_diffusion_settings_belong_to_diffusion_models(tmp_path: Path):
    content = recipe_files.at_side(recipe_files.load("lite"), 64).model_dump()
    content["backbones"][0]["diffusion"] = {"timestep": 50}
    with pytest.raises(GeoAwareError, match="efficientnet-lite0 is no diffusion model"):
        build(Request(Recipe.model_validate(content), out=tmp_path / "x"), quiet)


def test_a_part_that_was_not_built_in_is_not_verified(bundle: Bundle):
    content = recipe_files.load("sd15")
    manifest = bundle.manifest.model_copy(update={"recipe": content, "weights": ()})
    with pytest.raises(GeoAwareError, match="sd15=…: this bundle was built without that part"):
        reverify(Bundle(bundle.path, manifest), {"sd15": "random:0"}, quiet)
