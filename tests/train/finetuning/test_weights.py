"""Fine-tuned weights go into the exporter as they are, at any frame."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from geoaware.export.backbones.sam import offsets_folded
from geoaware.export.state_dict import read_state
from geoaware.train.checkpoint import write_tensors
from geoaware.train.finetuning.sam_offsets import unfolded
from geoaware.train.finetuning.unfreezing import Network, unfreeze
from geoaware.train.finetuning.weights import whole_state

from .tiny_backbones import FAMILIES, TinyBackbone, published, shrink

CHANGED = 0.9


def learn(network: Network) -> None:
    """Change all that may change, as training would."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.mul_(CHANGED)


def saved(network: Network, source: dict[str, Tensor] | None, folder: Path) -> dict[str, Tensor]:
    write_tensors(folder / "best.safetensors", whole_state(network, source))
    return read_state(folder / "best.safetensors")


@pytest.mark.parametrize("is_random", [False, True])
def test_the_exporter_computes_what_was_trained(
    tiny: TinyBackbone,
    is_random: bool,
    tmp_path: Path,
):
    source = None if is_random else published(tiny)
    network = tiny.load(source)
    unfreeze(network, 2, source)
    [before] = network(tiny.frames())
    learn(network)
    [trained] = network(tiny.frames())
    [built] = tiny.load(saved(network, source, tmp_path))(tiny.frames())
    assert (trained - before).abs().max() > 1e-3
    torch.testing.assert_close(built, trained, rtol=1e-6, atol=1e-6)


def test_another_frame_is_that_of_the_published_weights_with_what_was_learnt(
    tiny: TinyBackbone,
    tmp_path: Path,
):
    source = published(tiny)
    network = tiny.load(source)
    unfreeze(network, 2, source)
    learn(network)
    reference = tiny.load(source, tiny.other)
    unfreeze(reference, 2, source)
    learn(reference)
    [expected] = reference(tiny.frames(tiny.other))
    [built] = tiny.load(saved(network, source, tmp_path), tiny.other)(tiny.frames(tiny.other))
    torch.testing.assert_close(built, expected, rtol=1e-6, atol=1e-6)


def test_what_is_frozen_is_the_published_tensor_bit_for_bit(tiny: TinyBackbone):
    source = published(tiny)
    network = tiny.load(source)
    unfreeze(network, 1, source)
    untouched = whole_state(tiny.load(source), source)
    learn(network)
    for key, value in whole_state(network, source).items():
        learns = key.startswith((f"{tiny.blocks}.2.", tiny.ending))
        assert learns or torch.equal(value, untouched[key]), key


def test_relative_positions_learn_as_the_table_they_were_published_as(
    monkeypatch: pytest.MonkeyPatch,
):
    shrink(monkeypatch)
    sam = FAMILIES["sam"]
    source = published(sam)
    network = sam.load(source)
    unfreeze(network, 1, source)
    key = "layers.2.attn.rel_pos_h"
    table = next(value for name, value in source.items() if name.endswith(key))
    assert len(table) == 15  # 8 cells a side; the frame has 4
    torch.testing.assert_close(whole_state(network, source)[key], table, rtol=0, atol=0)


def test_unfolding_is_the_inverse_of_folding():
    table = torch.randn(2 * 5 - 1, 3)
    torch.testing.assert_close(unfolded(offsets_folded(table, 5)), table, rtol=0, atol=0)
