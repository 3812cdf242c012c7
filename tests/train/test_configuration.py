from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from geoaware.runtime.errors import InputError
from geoaware.train import configuration
from geoaware.train.settings import HeadSettings


def settled(changes: tuple[str, ...] = (), preset: str = "animalpose-lite") -> HeadSettings:
    return configuration.settled(HeadSettings, configuration.preset(preset), changes, preset)


@pytest.mark.parametrize("name", ["spair", "pascal", "ap10k", "animalpose-lite"])
def test_every_preset_holds_settings_that_can_be_read_back(name: str):
    found = settled(preset=name)
    text = yaml.safe_dump(found.model_dump(mode="json"))
    assert HeadSettings.model_validate(yaml.safe_load(text)) == found


def test_the_presets_of_the_paper_have_its_constants():
    found = settled(preset="spair")
    assert (found.fitting.learning_rate, found.fitting.weight_decay) == (1.25e-3, 1e-3)
    assert (found.fitting.schedule, found.fitting.warm_up, found.fitting.epochs) == (
        "one-cycle",
        0.3,
        2,
    )
    assert (found.batch.pairs, found.batch.images) == (1, None)
    assert (found.head.hidden, found.head.outputs, found.head.dropout) == (192, 768, 0.2)
    assert (found.losses.temperature, found.losses.window, found.losses.noise) == (0.02, None, 0.1)
    assert (found.losses.contrastive, found.losses.dense, found.losses.cells) == (1, 1, 0)
    assert tuple(found.mirroring.model_dump().values()) == (1, 1, 1, 0.25)
    assert (found.validation.every, found.validation.pairs, found.validation.alpha) == (
        5000,
        20,
        0.1,
    )
    assert settled(preset="pascal").validation.alpha == 0.05


def test_set_changes_a_key_and_reads_yaml():
    found = settled(("fitting.steps=7", "data.categories=[cat, dog]", "losses.window=5"))
    assert found.fitting.steps == 7
    assert found.data.categories == ("cat", "dog")
    assert found.losses.window == 5


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            "fitting.stepz=7",
            r"^--set fitting\.stepz=7: no such key \(nearest: fitting\.steps\); "
            r"see geotrain presets --keys$",
        ),
        ("fitting.steps=many", r"^--set fitting\.steps=many: Input should be a valid integer"),
        ("fitting={steps: many}", r"^--set fitting=.*: fitting\.steps: Input should be"),
        ("fitting.steps", "write KEY=VALUE"),
        ("name.steps=7", "name has no keys"),
        ("losses={contrastive: 0, dense: 0, cells: 0}", "nothing would be learnt"),
        (
            "fitting.epochs=2",
            r"^animalpose-lite with --set fitting\.epochs=2: fitting: give one of steps and",
        ),
        ("fitting.steps=[", "not YAML"),
        ("data.dataset=birds", r"data\.dataset"),
        ("=3", "write KEY=VALUE"),
    ],
)
def test_a_change_that_cannot_be_is_named(change: str, named: str):
    with pytest.raises(InputError, match=named) as caught:
        settled((change,))
    assert "\n" not in str(caught.value)


def test_one_category_needs_no_brackets():
    assert settled(("data.categories=mug",)).data.categories == ("mug",)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("fitting", "mugs.yaml: fitting: give one of steps and epochs"),
        ("data", "mugs.yaml: data.dataset is missing; see geotrain presets --keys"),
        ("name", "mugs.yaml: name is missing; see geotrain presets --keys"),
    ],
)
def test_what_a_file_lacks_is_named(missing: str, named: str):
    content = configuration.preset("animalpose-lite")
    del content[missing]
    with pytest.raises(InputError) as caught:
        configuration.settled(HeadSettings, content, (), "mugs.yaml")
    assert str(caught.value) == named


def test_an_unknown_key_of_a_file_is_named():
    content = configuration.preset("animalpose-lite") | {"stepz": 1}
    with pytest.raises(InputError, match=r"^mugs\.yaml: stepz: no such key; see geotrain presets"):
        configuration.settled(HeadSettings, content, ("fitting.steps=7",), "mugs.yaml")


def test_unknown_presets_and_damaged_files_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="no preset 'birds'; there are animalpose-lite, ap10k"):
        configuration.preset("birds")
    damaged = tmp_path / "a.yaml"
    damaged.write_text("- 1")
    with pytest.raises(InputError, match="holds no settings"):
        configuration.read(damaged)
    with pytest.raises(InputError, match="cannot be read"):
        configuration.read(tmp_path / "b.yaml")


def test_every_key_is_described():
    for key, _, meaning in configuration.keys(HeadSettings):
        assert meaning, key


def test_epochs_become_steps():
    assert settled(preset="spair").fitting.lasting(100).steps == 200
    assert settled().fitting.lasting(100).steps == settled().fitting.steps
