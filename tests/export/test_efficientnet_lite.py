"""Our EfficientNet-Lite0 against the package that the checkpoint was published with."""

from __future__ import annotations

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from geoaware.export.backbones import efficientnet_lite, entry
from geoaware.export.registry import known
from geoaware.export.state_dict import read_state
from geoaware.export.weights import resolve
from geoaware.runtime import GeoAwareError
from geoaware.runtime.recipe import BackboneUse

TAPS = [f"block{index}" for index in range(16)]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    found = resolve("efficientnet-lite0", known("efficientnet-lite0"))
    return read_state(found.files["model"])


def load(state, taps: list[str], side: int) -> torch.nn.Module:
    use = BackboneUse(name="efficientnet-lite0", taps=[{"at": tap} for tap in taps])
    return efficientnet_lite.load({"model": state}, use, side)


@pytest.mark.parametrize("side", [64, 224, 512])
def test_every_block_is_that_of_the_published_architecture(state, side: int):
    theirs = EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(state)
    ours = load(state, TAPS, side)
    image = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        x = theirs._swish(theirs._bn0(theirs._conv_stem(image)))
        for block, tap in zip(theirs._blocks, ours(image), strict=True):
            x = block(x)
            torch.testing.assert_close(tap, x, rtol=1e-5, atol=1e-4)


def test_channels_and_strides_of_the_taps(state):
    network = load(state, ["block10", "block12", "block14"], 512)
    with torch.inference_mode():
        shapes = [tuple(tap.shape[1:]) for tap in network(torch.zeros(1, 3, 512, 512))]
    assert shapes == [(112, 32, 32), (192, 16, 16), (192, 16, 16)]


def test_nothing_beyond_the_last_tap_is_kept(state):
    network = load(state, ["block14"], 512)
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(
        2.35e6, rel=0.01
    )


def test_unknown_taps_and_sides_are_refused(state):
    with pytest.raises(GeoAwareError, match="no tap 'block16'; it has block0 to block15"):
        load(state, ["block16"], 512)
    with pytest.raises(GeoAwareError, match="divisible by 32, not 500"):
        load(state, ["block10"], 500)
    with pytest.raises(GeoAwareError, match="unknown backbone 'resnet'; known: "):
        entry("resnet")


def test_weights_of_another_architecture_are_named(state):
    other = {key: value for key, value in state.items() if "_blocks.3." not in key}
    other["_conv_stem.weight"] = torch.zeros(16, 3, 3, 3)
    other["extra.weight"] = torch.zeros(1)
    with pytest.raises(GeoAwareError) as error:
        load(other, ["block10"], 512)
    for part in (
        "not weights of EfficientNetLite0",
        "missing (blocks.3.",
        "1 left over (extra.weight)",
        "conv_stem.weight is (16, 3, 3, 3), not (32, 3, 3, 3)",
    ):
        assert part in str(error.value)
