"""A run of training becomes a bundle that computes what was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from geoaware.examples import PHOTOGRAPHS
from geoaware.export import head_run, recipe_files
from geoaware.export.build import build, reverify
from geoaware.export.cli import geoexport
from geoaware.export.graphs import Fusion
from geoaware.export.modules import reference_graphs
from geoaware.export.parts import resolve_all
from geoaware.export.request import EngineRequest, Request
from geoaware.export.verify import TOLERANCES, frames
from geoaware.runtime import Bundle, GeoAwareError, Pipeline
from geoaware.runtime.errors import InputError
from geoaware.runtime.recipe import Recipe
from geoaware.train.head import ProjectionHead

from ..runtime.engines.fake_tensorrt import FakeTensorRT
from .conftest import quiet

BACKBONE = "efficientnet-lite0"

MakeRun = Callable[..., Path]


@pytest.fixture(scope="session")
def make_run(tiny: Recipe) -> MakeRun:
    """Writes what a run of `geotrain head` leaves, with random heads, into a folder."""
    weights = {
        part: {"source": found.source, "sha256": found.sha256}
        for part, found in resolve_all(tiny, {}).items()
    }

    def make(folder: Path, groups: int = 32, **changes: object) -> Path:
        folder.mkdir()
        for seed, name in enumerate(("best", "last")):
            torch.manual_seed(seed)
            head = ProjectionHead((112, 192, 192), hidden=32, outputs=64, groups=groups)
            save_file(head.state_dict(), folder / f"{name}.safetensors")
        recipe = tiny.model_dump(mode="json") | {"head": "beasts", "normalise": "none"}
        record = {"schema_version": 1, "kind": "head", "name": "beasts", "recipe": recipe}
        record |= {"weights": weights, "more": "of no concern to a build"} | changes
        (folder / "run.json").write_text(json.dumps(record))
        return folder

    return make


@pytest.fixture(scope="session")
def run(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", groups=8)


@pytest.fixture(scope="session")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The run's best head, built by the command line."""
    out = tmp_path_factory.mktemp("heads") / "bundle"
    command = ["build", "lite", "--head", str(run), "--keep", "0.3", "--out", str(out), "--json"]
    built = CliRunner().invoke(geoexport, command)
    assert built.exit_code == 0, built.stderr
    bundle = Bundle.open(out)
    assert json.loads(built.stdout)["name"] == bundle.manifest.name
    return bundle


def request(run: Path, out: Path, keep: float = 0.0, **more: object) -> Request:
    trained = head_run.read(run)
    return Request(
        trained.recipe_for(recipe_files.load("lite"), keep), head=trained, out=out, **more
    )


def descriptors(recipe: Recipe, head: Path, seed: int | None = None) -> np.ndarray:
    """What training makes of a photograph: the head in PyTorch, on taps of the backbone's."""
    plain = Recipe.model_validate(recipe.model_dump() | {"head": None, "keep": 0})
    [part] = reference_graphs(plain, resolve_all(plain, {}, seed))
    [backbone] = part.module.backbones
    fusion = Fusion(recipe, ProjectionHead.from_state_dict(load_file(head)))
    with torch.inference_mode():
        [image] = frames(recipe, PHOTOGRAPHS[0]).values()
        return fusion(*backbone(image))[0].numpy()


def test_a_bundle_gives_the_descriptors_that_were_trained(bundle: Bundle, run: Path):
    found = Pipeline.load(bundle.path).extract(PHOTOGRAPHS[0]).descriptors
    expected = descriptors(bundle.manifest.recipe, run / "best.safetensors")
    assert found.shape == (4, 4, 112 + 192 + 192 + 64)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_the_bundle_says_what_it_is(bundle: Bundle):
    manifest = bundle.manifest
    assert manifest.name == "lite-beasts-keep0.3"
    assert (manifest.recipe.head, manifest.recipe.keep) == ("beasts", 0.3)
    assert manifest.recipe.frame.side == 64, "that of the run"
    trained = manifest.weights[1]
    assert (trained.part, trained.source) == ("beasts", "local:best.safetensors")
    command = f"geoexport build lite --head RUN --keep 0.3 --out {bundle.path}"
    assert bundle.build_command() == command


def test_a_head_may_see_other_frames_than_it_was_trained_on(run: Path, tmp_path: Path):
    out = tmp_path / "larger"
    arguments = ["build", "lite", "--head", str(run), "--frame", "96", "--out", str(out)]
    assert CliRunner().invoke(geoexport, arguments).exit_code == 0
    bundle = Bundle.open(out)
    recipe = bundle.manifest.recipe
    assert (bundle.manifest.name, recipe.frame.side, recipe.grid) == ("lite-beasts-96px", 96, 6)
    found = Pipeline.load(out).extract(PHOTOGRAPHS[0]).descriptors
    np.testing.assert_allclose(found, descriptors(recipe, run / "best.safetensors"), atol=1e-4)
    assert bundle.build_command() == f"geoexport build lite --frame 96 --head RUN --out {out}"


def test_any_checkpoint_is_built_and_engines_of_it(
    make_run: MakeRun, tensorrt: FakeTensorRT, tmp_path: Path
):
    random = {BACKBONE: {"source": "random:3", "sha256": None}}
    last = make_run(tmp_path / "run", weights=random) / "last.safetensors"
    wanted = request(last, tmp_path / "x", seed=3, engine=EngineRequest("tensorrt"))
    bundle, _ = build(wanted, quiet)
    found = Pipeline.load(bundle.path).extract(PHOTOGRAPHS[0]).descriptors
    assert found.shape == (4, 4, 64)
    expected = descriptors(bundle.manifest.recipe, last, seed=3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    [engine] = bundle.manifest.engines
    assert engine.parity
    assert bundle.manifest.name == "lite-beasts-random"
    command = f"geoexport build lite --head RUN --random-weights 3 --out {bundle.path}"
    assert bundle.build_command() == command
    assert bundle.engine_command(engine).startswith(f"{command} --engine tensorrt")


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_every_precision_takes_a_head(precision: str, run: Path, tmp_path: Path):
    bundle, _ = build(request(run, tmp_path / "x", 0.3, precision=precision), quiet)
    [model] = bundle.manifest.models
    assert bundle.manifest.name == f"lite-beasts-keep0.3-{precision}"
    assert model.precision == precision
    command = f"geoexport build lite --precision {precision} --head RUN --keep 0.3"
    assert bundle.build_command() == f"{command} --out {bundle.path}"
    tolerance = TOLERANCES[model.precision, model.stored_as]
    assert bundle.manifest.parity.cosine_min >= tolerance.cosine_min


def test_it_is_verified_with_the_head_it_was_built_from(bundle: Bundle, run: Path):
    for place, status, says in (
        (run, 0, "100.0% of matches agree"),
        (run / "best.safetensors", 0, "100.0% of matches agree"),
        (run / "last.safetensors", 1, "not the beasts weights this bundle was built from"),
    ):
        verify = ["verify", str(bundle.path), "--weights", f"beasts={place}"]
        again = CliRunner().invoke(geoexport, verify)
        assert again.exit_code == status
        assert says in again.stdout + again.stderr


def test_verifying_asks_where_the_head_is(bundle: Bundle):
    with pytest.raises(InputError, match=r"best\.safetensors; name it: --weights beasts=FILE"):
        reverify(bundle, {}, quiet)


def test_a_bundle_of_the_same_head_is_kept_and_of_another_not_replaced(bundle: Bundle, run: Path):
    assert build(request(run, bundle.path, 0.3), quiet) == (bundle, False)
    with pytest.raises(GeoAwareError, match="the bundle there differs in weights"):
        build(request(run / "last.safetensors", bundle.path, 0.3), quiet)


def test_a_head_belongs_to_the_weights_it_was_trained_on(make_run: MakeRun, tmp_path: Path):
    random = make_run(tmp_path / "run", weights={BACKBONE: {"source": "random:3", "sha256": None}})
    for sources, instead in (({}, "package:"), ({BACKBONE: "random:4"}, "random:4")):
        with pytest.raises(GeoAwareError) as error:
            build(request(random, tmp_path / "x", weights=sources), quiet)
        message = str(error.value)
        assert f"was trained on the {BACKBONE} weights random:3, not {instead}" in message
        assert f"name those: --weights {BACKBONE}=random:3, or train again" in message
    assert not (tmp_path / "x").exists()


def test_other_files_of_the_same_backbone_are_told_by_their_hash(make_run: MakeRun, tmp_path: Path):
    other = {"source": "local:mine.pth", "sha256": "a" * 64}
    folder = make_run(tmp_path / "run", weights={BACKBONE: other})
    named = rf"local:mine\.pth \(sha256 a{{16}}…\), not package:.*; name those: .*{BACKBONE}=FILE"
    with pytest.raises(GeoAwareError, match=named):
        build(request(folder, tmp_path / "x"), quiet)


def test_a_command_that_is_copied_runs_nothing_that_a_record_says(
    make_run: MakeRun, tmp_path: Path
):
    folder = make_run(
        tmp_path / "run", weights={BACKBONE: {"source": "x; rm -rf ~", "sha256": None}}
    )
    with pytest.raises(GeoAwareError, match=rf"--weights '{BACKBONE}=x; rm -rf ~', or train"):
        build(request(folder, tmp_path / "x"), quiet)


def test_weights_that_training_did_not_have_are_refused(make_run: MakeRun, tmp_path: Path):
    trained = head_run.read(make_run(tmp_path / "run", weights={}))
    with pytest.raises(GeoAwareError, match=f"was trained without {BACKBONE} weights, not with"):
        trained.check(resolve_all(trained.record.recipe, {"beasts": str(trained.checkpoint)}))


def test_a_recipe_that_has_changed_since_is_refused(run: Path, tiny: Recipe):
    content = tiny.model_dump()
    content["backbones"][0]["taps"] = content["backbones"][0]["taps"][:2]
    with pytest.raises(InputError, match="other backbones or taps than recipe lite has now"):
        head_run.read(run).recipe_for(Recipe.model_validate(content))


UNUSABLE = {
    "of the future": ({"schema_version": 2}, "run.json: no run of geotrain head .*schema_version"),
    "of fine-tuning": ({"kind": "finetune", "weights": {"vit": {"source": "x", "sha256": None}}},
                       "run: a run of geotrain finetune; build with --weights vit=.*run/best"),
    "of another kind": ({"kind": "tail"}, "no run of geotrain head .*kind: Input should be"),
    "of another head": ({"name": "others"}, "the recipe's head is beasts, not others"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_runs_that_cannot_be_used_are_refused(
    changes: dict[str, object], message: str, make_run: MakeRun, tmp_path: Path
):
    folder = make_run(tmp_path / "run", **changes)
    with pytest.raises(GeoAwareError, match=message):
        head_run.read(folder)


def test_a_checkpoint_that_is_no_head_is_refused(make_run: MakeRun, tmp_path: Path):
    folder = make_run(tmp_path / "run")
    save_file({"blocks.0.weight": torch.ones(1)}, folder / "best.safetensors")
    with pytest.raises(GeoAwareError, match=r"not weights of a projection head.*blocks\.0\.weight"):
        build(request(folder, tmp_path / "x"), quiet)


def refused(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(geoexport, ["build", *arguments])
    assert result.exit_code
    assert (result.stdout, result.stderr.strip().count("\n")) == ("", 0)
    return result.exit_code, result.stderr


def test_mistakes_get_one_line(run: Path, make_run: MakeRun, tmp_path: Path):
    young = make_run(tmp_path / "young")
    (young / "best.safetensors").unlink()
    head = ("--head", str(run))
    for arguments, status, says in (
        (("dinov2-s", *head), 2, f"{run} was trained for recipe lite, not dinov2-s"),
        (("lite", *head, "--frame", "65"), 2, "frame side 65 does not fit lite: use a multiple of"),
        (("lite", "--keep", "0.3"), 2, "--keep is for --head"),
        (("lite", *head, "--keep", "1"), 2, "--keep"),
        (("lite", *head, "--weights", "beasts=x"), 2, "--weights beasts=… and --head"),
        (("lite", "--head", str(tmp_path / "none")), 2, "no such file or folder"),
        (("lite", "--head", str(tmp_path)), 2, "run.json is missing"),
        (("lite", "--head", str(run / "run.json")), 2, "no checkpoint; name the run's folder"),
        (("lite", "--head", str(young)), 1, "holds no best.safetensors: it was not validated yet"),
    ):
        exit_code, message = refused(*arguments)
        assert exit_code == status
        assert says in message


def test_a_recipe_may_name_a_head_of_ones_own(run: Path, tmp_path: Path):
    recipe = head_run.read(run).record.recipe
    with pytest.raises(InputError, match="unknown head 'beasts'; known: geoaware-sc; one that"):
        build(Request(recipe, out=tmp_path / "x", seed=0), quiet)
    found = resolve_all(recipe, {"beasts": str(run)})["beasts"]
    assert (found.source, found.licence) == ("local:run", "unknown")
