"""Whoever follows a refusal's command gets what it says."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from geoaware.export import recipe_files
from geoaware.export.build import build
from geoaware.export.cli import geoexport
from geoaware.export.request import EngineRequest, Request
from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.manifest import EngineOptions, Manifest, WeightsRecord
from geoaware.runtime.recipe import Recipe

from ..runtime.engines.fake_tensorrt import FakeTensorRT
from .conftest import Built, quiet


def changed(bundle: Bundle, **model: object) -> Bundle:
    """A bundle of models that differ in this."""
    models = tuple(each.model_copy(update=model) for each in bundle.manifest.models)
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"models": models}))


def weights(*sources: str) -> tuple[WeightsRecord, ...]:
    return tuple(
        WeightsRecord(part=f"p{index}", source=source, revision=None, sha256=None, licence="none")
        for index, source in enumerate(sources)
    )


def test_a_bundle_without_an_engine_says_how_to_build_it(built: Built):
    assert (
        built("fp32")
        .no_engine("tensorrt")
        .endswith(f"geoexport build lite --frame 64 --out {built('fp32').path} --engine tensorrt")
    )
    assert (
        Bundle.open()
        .no_engine("tensorrt")
        .endswith("then name it (--bundle lite): geoexport build lite --compact --engine tensorrt")
    )
    refused = built("int8").no_engine("tensorrt-rtx")
    assert "int8 is for the CPU" in refused
    assert "geoexport" not in refused


def test_attention_in_one_operator_is_given_up_for_an_engine_in_single(built: Built):
    fused = changed(built("fp32"), opset=23)
    assert fused.no_engine("tensorrt").endswith("--engine tensorrt --force")
    assert "--force" not in changed(built("fp16"), opset=23).no_engine("tensorrt")


def test_engines_of_transformers_have_no_attention_in_single():
    recipe = recipe_files.load("dinov2-s")
    engine = EngineRequest("tensorrt")
    assert Request(recipe).opset == 23
    assert Request(recipe, engine=engine).opset == 20
    assert Request(recipe, engine=engine, precision="fp16").opset == 23


def test_a_bundle_is_there_whatever_its_opset_unless_one_is_needed(tiny: Recipe, built: Built):
    there = changed(built("fp32"), opset=23).manifest
    engine, same = EngineRequest("tensorrt"), {each.part: each for each in there.weights}
    for request in (Request(tiny), Request(tiny, engine=engine), Request(tiny, asked_opset=23)):
        request.check_same(same, there)
    with pytest.raises(GeoAwareError, match="differs in opset; replace it with --force"):
        Request(tiny, asked_opset=20).check_same(same, there)
    transformer = recipe_files.load("dinov2-s")
    there = there.model_copy(update={"recipe": transformer})
    for request in (Request(transformer), Request(transformer, engine=engine, asked_opset=23)):
        request.check_same(same, there)
    with pytest.raises(GeoAwareError, match="differs in opset; replace it with --force"):
        Request(transformer, engine=engine).check_same(same, there)


def test_an_operator_that_came_later_can_be_done_without(
    tiny: Recipe, tensorrt: FakeTensorRT, tmp_path: Path
):
    from geoaware.export.tensorrt.builder import PlanBuilder

    from .test_tensorrt import transformer

    builder = PlanBuilder("tensorrt", (1,), EngineOptions(), "8.9", "GPU", quiet)
    tensorrt.refuses = "Attention"
    file = transformer(tmp_path, "fp16", 23)
    with pytest.raises(GeoAwareError, match=r"\(Attention\): no importer.*: --opset 20 --force$"):
        builder.build(file.read_bytes(), file)
    tensorrt.refuses = "LayerNormalization"
    file = transformer(tmp_path, "fp16", 20)
    with pytest.raises(GeoAwareError, match="no importer registered for it$"):
        builder.build(file.read_bytes(), file)


def test_random_weights_are_asked_for_by_their_seed_and_paths_are_quoted(
    tiny: Recipe, tensorrt: FakeTensorRT, tmp_path: Path
):
    out = tmp_path / "my bundles" / "x"
    bundle, _ = build(Request(tiny, frame=64, seed=7, out=out), quiet)
    command = shlex.split(bundle.no_engine("tensorrt").partition("machine: ")[2])
    result = CliRunner().invoke(geoexport, command[1:])
    assert result.exit_code == 0, result.stderr
    assert len(Bundle.open(out).manifest.engines) == 1
    assert shlex.split(bundle.prove_command()) == ["geoexport", "prove", str(out)]


@pytest.mark.parametrize(
    ("sources", "options"),
    [
        (("random:7", "random:7"), " --random-weights 7"),
        (("random:7", "hub/model"), " --weights p0=random:7"),
        (("local:mine.pth", "random:8"), " --weights p0=FILE --weights p1=random:8"),
    ],
)
def test_a_command_names_the_weights_that_are_not_published(
    built: Built, sources: tuple[str, ...], options: str
):
    manifest: Manifest = built("fp32").manifest.model_copy(
        update={"name": "lite-64px-random", "weights": weights(*sources)}
    )
    command = replace(built("fp32"), manifest=manifest).build_command()
    assert command == f"geoexport build lite --frame 64{options} --out {built('fp32').path}"


def test_show_tells_the_whole_key_of_an_engine(
    asked: Callable[..., Request], tensorrt: FakeTensorRT
):
    options = EngineOptions(workspace_gb=2, optimisation_level=4, version_compatible=True)
    bundle, _ = build(asked(batches=(1, 2), options=options), quiet)
    command = ["show", str(bundle.path)]
    shown = CliRunner().invoke(geoexport, command, env={"COLUMNS": "500"}).stdout
    for fact in ("batches of 1, 2", "workspace gb 2", "optimisation level 4", "version compatible"):
        assert fact in shown
    assert "hardware compatible" not in shown
