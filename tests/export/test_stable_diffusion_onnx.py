"""Stable Diffusion's exported graphs against PyTorch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from geoaware.examples import PHOTOGRAPHS
from geoaware.export.backbones.stable_diffusion import load
from geoaware.export.backbones.stable_diffusion.architecture import Architecture
from geoaware.export.backbones.stable_diffusion.features import StableDiffusion, build
from geoaware.export.graphs import Graph, Taps
from geoaware.export.to_onnx import export
from geoaware.runtime.images import load as read_image
from geoaware.runtime.images import to_frame
from geoaware.runtime.recipe import BackboneUse, Diffusion, FrameSpec

from .tiny_diffusion import TINY

TAPS = ["s5", "s4", "s3"]

# Attention on one level and one resnet per level of the VAE: an export's time goes by its nodes.
SPARSE = replace(
    TINY,
    unet=TINY.unet
    | {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    },
    vae=TINY.vae | {"layers_per_block": 1},
)


def made(architecture: Architecture, conditioning: str, names: list[str]) -> StableDiffusion:
    torch.manual_seed(2)
    use = BackboneUse(
        name="sd15",
        taps=[{"at": tap} for tap in names],
        diffusion=Diffusion(conditioning=conditioning),
    )
    return build(architecture, None, use, 192)


def errors(module: Taps, truth: Taps, folder: Path, opset: int, batch: int) -> list[float]:
    """Largest error of every tap, relative to its largest value, on random frames."""
    path = folder / "x.onnx"
    names = [f"tap{index}" for index in range(len(module.backbone.strides))]
    if not path.exists():
        export(Graph("x", module, {"image": (3, 192, 192)}, names), folder, opset)
    frames = torch.rand(batch, 3, 192, 192, generator=torch.Generator().manual_seed(batch))
    with torch.inference_mode():
        expected = [tap.numpy() for tap in truth(frames)]
    found = onnxruntime.InferenceSession(path).run(None, {"image": frames.numpy()})
    return [relative(a, b) for a, b in zip(found, expected, strict=True)]


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(abs(found - expected).max() / abs(expected).max())


def test_the_graph_computes_what_pytorch_does_for_any_batch(tmp_path: Path):
    taps = Taps(made(SPARSE, "empty", ["s5", "s4"]), torch.float32).eval()
    for batch in (1, 3):
        assert max(errors(taps, taps, tmp_path, 23, batch)) < 1e-4
    operators = {node.op_type for node in onnx.load(tmp_path / "x.onnx").graph.node}
    assert not operators & {"Sin", "Cos", "DFT"}


@pytest.mark.slow
@pytest.mark.parametrize("conditioning", ["empty", "implicit"])
@pytest.mark.parametrize("opset", [20, 23])
def test_every_opset_and_conditioning_is_exact(tmp_path: Path, opset: int, conditioning: str):
    taps = Taps(made(TINY, conditioning, TAPS), torch.float32).eval()
    for batch in (1, 2):
        assert max(errors(taps, taps, tmp_path, opset, batch)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("conditioning", ["empty", "implicit"])
@pytest.mark.parametrize("opset", [20, 23])
def test_half_precision_is_close(tmp_path: Path, opset: int, conditioning: str):
    truth = Taps(made(TINY, conditioning, TAPS), torch.float32).eval()
    half = Taps(made(TINY, conditioning, TAPS), torch.float16).eval()
    assert max(errors(half, truth, tmp_path, opset, 2)) < 5e-3


@pytest.mark.slow
def test_the_full_size_is_exact(tmp_path: Path):
    """Minutes on two quiet cores, and 15 GB of memory; as the recipes with a captioner have it."""
    torch.manual_seed(0)
    taps_asked = [{"at": tap} for tap in TAPS]
    use = BackboneUse(name="sd15", taps=taps_asked, diffusion={"conditioning": "implicit"})
    taps = Taps(load(None, use, 960), torch.float32).eval()
    frame = FrameSpec(mode="letterbox", side=960, resample="lanczos")
    image = to_frame(read_image(PHOTOGRAPHS[0]), frame, 960)[None]
    with torch.inference_mode():
        expected = [tap.numpy() for tap in taps(torch.from_numpy(image))]
    assert [tap.shape for tap in expected] == [
        (1, 1280, 15, 15),
        (1, 1280, 30, 30),
        (1, 640, 60, 60),
    ]
    path = export(Graph("x", taps, {"image": (3, 960, 960)}, TAPS), tmp_path, 23)
    found = onnxruntime.InferenceSession(path).run(None, {"image": image})
    assert max(map(relative, found, expected)) < 1e-4
