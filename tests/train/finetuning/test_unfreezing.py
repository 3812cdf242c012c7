"""What of a backbone learns, and that nothing else does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geoaware.export.backbones import entry
from geoaware.runtime.errors import InputError
from geoaware.runtime.recipe import BackboneUse, Tap
from geoaware.train.finetuning.unfreezing import unfreeze

from ...export.original_vit import DEPTH
from .tiny_backbones import TinyBackbone, published, shrink


def learning(network: torch.nn.Module) -> set[str]:
    return {name for name, each in network.named_parameters() if each.requires_grad}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_last_blocks_and_the_ending_learn_whole_and_nothing_else(
    tiny: TinyBackbone,
    count: int,
):
    network = tiny.load(published(tiny))
    before = {name for name, _ in network.named_parameters()}
    unfreeze(network, count, published(tiny))
    last = tuple(f"{tiny.blocks}.{DEPTH - 1 - index}." for index in range(count))
    expected = {name for name in before if name.startswith((*last, tiny.ending))}
    tables = {name for name in learning(network) if "rel_pos" in name}
    assert learning(network) - tables == expected
    assert len(tables) == (2 * count if tiny.name == "sam-b" else 0)
    assert all(name.startswith(last) for name in tables)


def test_unfreezing_changes_no_tap(tiny: TinyBackbone):
    state = published(tiny)
    network = tiny.load(state)
    [expected] = network(tiny.frames())
    unfreeze(network, 2, state)
    [tap] = network(tiny.frames())
    torch.testing.assert_close(tap, expected, rtol=0, atol=0)


def test_frozen_blocks_keep_no_activations(tiny: TinyBackbone):
    network = tiny.load(published(tiny))
    unfreeze(network, 1, published(tiny))
    entered: list[bool] = []
    blocks = getattr(network, tiny.blocks)
    for block in blocks:
        block.register_forward_pre_hook(lambda _, given: entered.append(given[0].requires_grad))
    saved: list[Tensor] = []
    blocks[-1].register_forward_pre_hook(lambda *_: saved.append(torch.tensor(len(kept))))
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: (kept.append(x), x)[1], lambda x: x):
        [tap] = network(tiny.frames())
    tap.square().mean().backward()
    assert entered == [False] * DEPTH
    assert saved[0] == 0
    assert len(kept) > 0
    for name, each in network.named_parameters():
        assert (each.grad is not None) == each.requires_grad, name
        assert each.grad is None or each.grad.abs().sum() > 0, name


def test_more_blocks_than_there_are(tiny: TinyBackbone):
    with pytest.raises(InputError, match=f"blocks: {DEPTH + 1} is more than the {DEPTH}"):
        unfreeze(tiny.load(None), DEPTH + 1, None)


def test_blocks_are_counted_back_from_the_last_tap(monkeypatch: pytest.MonkeyPatch):
    shrink(monkeypatch)
    use = BackboneUse(name="dinov2-s", taps=(Tap(at="block1"),))
    network = entry("dinov2-s").load(None, use, 70)
    unfreeze(network, 1, None)
    assert {name.rsplit(".", 1)[0].split(".")[1] for name in learning(network)} == {"1"}
    with pytest.raises(InputError, match="taps no final norm: nothing would learn"):
        unfreeze(network, 0, None)
