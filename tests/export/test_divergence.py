"""Finding the first layer that differs, where looking at all of them at once would hide it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from geoaware.export.divergence import (
    Marked,
    first_divergence,
    first_engine_divergence,
    first_over,
    marked,
)
from geoaware.export.graphs import Graph
from geoaware.export.to_onnx import export


class Network:
    """Layers of which those from `first_wrong` on are wrong; counts what it is asked."""

    def __init__(self, count: int, first_wrong: int | None, error: float = 1.0) -> None:
        self.count, self.first_wrong, self.error = count, first_wrong, error
        self.asked: list[list[int]] = []

    def errors(self, layers: list[int]) -> list[float]:
        self.asked.append(list(layers))
        wrong = self.count if self.first_wrong is None else self.first_wrong
        return [self.error if layer >= wrong else 0.001 for layer in layers]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 63, 200])
def test_it_is_found_wherever_it_is(count: int):
    for first_wrong in range(count):
        network = Network(count, first_wrong)
        assert first_over(count, network.errors, 0.01) == (first_wrong, 1.0)
        assert len(network.asked) <= 3
        assert max(map(len, network.asked)) <= 8


def test_a_network_that_is_right_is_asked_once():
    network = Network(200, None)
    assert first_over(200, network.errors, 0.01) is None
    assert len(network.asked) == 1
    assert network.asked[0][-1] == 199


def test_values_that_are_no_numbers_are_wrong():
    found = first_over(5, Network(5, 3, float("nan")).errors, 0.01)
    assert found is not None
    assert found[0] == 3


def test_nothing_to_look_at_is_nothing_found():
    assert first_over(0, Network(0, None).errors, 0.01) is None


class Windows(nn.Module):
    """A layer that sees windows, as SAM's attention does, between two that see the image."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.inside, self.after = (nn.Conv2d(3, 3, 1) for _ in range(3))

    def forward(self, image: Tensor) -> Tensor:
        x = self.before(image)
        windows = x.reshape(-1, 3, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, 3, 4, 4)
        x = self.inside(windows).reshape(-1, 2, 2, 3, 4, 4).permute(0, 3, 1, 4, 2, 5)
        return self.after(x.reshape(-1, 3, 8, 8))


def test_only_what_has_the_batch_in_front_is_an_output_of_an_engine(tmp_path: Path):
    torch.manual_seed(0)
    graph = Graph("windows", Windows().eval(), {"image": (3, 8, 8)}, ("descriptors",))
    file = export(graph, tmp_path, 20)
    asked: list[str] = []

    def run(file: Path, marks: Sequence[Marked], feed: Mapping[str, Tensor]) -> dict[str, Any]:
        """What comes after the windows is wrong."""
        asked.extend(mark.module for mark in marks)
        session = onnxruntime.InferenceSession(marked(file, [mark.tensor for mark in marks]))
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, {name: tensor.numpy() for name, tensor in feed.items()})
        found = dict(zip(names, values, strict=True))
        last = {mark.module: mark.tensor for mark in marks}["after"]
        return found | {last: found[last] + 1}

    images = {8: torch.rand(1, 3, 8, 8)}
    found = first_engine_divergence([graph], [file], images, "fp32", run)
    assert found.startswith("windows: after (relative error")
    assert found.endswith("after before, which agrees")
    assert asked == ["before", "after"]


def test_the_layer_is_named_where_the_graph_knows_its_modules(tmp_path: Path):
    torch.manual_seed(0)
    graph = Graph("windows", Windows().eval(), {"image": (3, 8, 8)}, ("descriptors",))
    file = export(graph, tmp_path, 20)
    images = {8: torch.rand(1, 3, 8, 8)}
    with torch.no_grad():
        graph.module.inside.weight.mul_(2)
    assert first_divergence([graph], [file], images, "fp32").startswith("windows: inside (relative")
    model = onnx.load(file)
    for node in model.graph.node:
        node.ClearField("metadata_props")
    onnx.save(model, file)
    unknown = "unknown (the graph does not say which module its nodes came from)"
    assert first_divergence([graph], [file], images, "fp32") == unknown
