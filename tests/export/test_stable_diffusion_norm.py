"""The group normalisation of large maps."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from geoaware.export.backbones.stable_diffusion.group_norm import GroupNorm, made_exact
from geoaware.export.graphs import Graph
from geoaware.export.to_onnx import export


def norm() -> nn.GroupNorm:
    made = nn.GroupNorm(2, 8, eps=1e-6)
    generator = torch.Generator().manual_seed(1)
    nn.init.normal_(made.weight, generator=generator)
    nn.init.normal_(made.bias, generator=generator)
    return made


def exact(of: nn.GroupNorm) -> nn.Module:
    holder = made_exact(nn.Sequential(nn.GroupNorm(2, 8, eps=1e-6)))
    holder[0].load_state_dict(of.state_dict())
    return holder.eval()


@pytest.mark.parametrize("shape", [(2, 8, 5, 7), (3, 8, 11)])
def test_it_is_pytorchs(shape: tuple[int, ...]):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2)) * 3 + 1
    torch.testing.assert_close(exact(norm())(x), norm()(x), rtol=1e-5, atol=1e-5)


def test_every_norm_of_a_network_is_replaced():
    network = nn.Sequential(nn.Sequential(nn.GroupNorm(2, 8)), nn.GroupNorm(4, 8))
    keys = list(network.state_dict())
    norms = [m for m in made_exact(network).modules() if isinstance(m, nn.GroupNorm)]
    assert [type(each) for each in norms] == [GroupNorm, GroupNorm]
    assert [each.num_groups for each in norms] == [2, 4]
    assert list(network.state_dict()) == keys


def off(module: nn.Module, x: Tensor, truth: Tensor, folder: Path) -> float:
    """The largest error in onnxruntime, relative to the largest value."""
    path = export(Graph("norm", module, {"x": tuple(x.shape[1:])}, ["y"]), folder, 20)
    (found,) = onnxruntime.InferenceSession(path).run(None, {"x": x.numpy()})
    return float(abs(torch.from_numpy(found) - truth).max() / abs(truth).max())


@torch.inference_mode()
def test_in_onnxruntime_it_is_exact_on_a_map_of_512_pixels(tmp_path: Path):
    x = torch.randn(1, 8, 512, 512, generator=torch.Generator().manual_seed(3)) + 3
    truth = norm().double()(x.double()).float()
    assert off(exact(norm()), x, truth, tmp_path) < 1e-6
