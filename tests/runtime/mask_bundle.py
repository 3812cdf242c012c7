"""A bundle that makes masks by rules simple enough to be computed again in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser

from geoaware.runtime import Bundle
from geoaware.runtime.bundle import read_manifest, sha256_of
from geoaware.runtime.manifest import Manifest

SIDE, GRID = 64, 4
CELLS = 4 * GRID  # logits along each side, 4 frame pixels apart
RADII = (6.0, 12.0, 20.0)
SCORES = (0.2, 0.9, 0.5)
PADDING = (0.25, 0.5, 0.75)

_FEATURES = f"""<ir_version: 10, opset_import: ["": 20]>
features (float[batch,3,{SIDE},{SIDE}] image)
    => (float[batch,{GRID},{GRID},3] descriptors, float[batch,3,{GRID},{GRID}] embedding) {{
  embedding = AveragePool<kernel_shape=[16,16], strides=[16,16]>(image)
  last = Transpose<perm=[0,2,3,1]>(embedding)
  descriptors = LpNormalization<axis=-1, p=2>(last)
}}"""

# The first mask is a box between the last two points, the others are discs around the first
# point; the first score is the sum of the labels.
_MASKS = f"""<ir_version: 10, opset_import: ["": 20]>
masks (float[batch,3,{GRID},{GRID}] embedding, float[batch,prompts,2] points,
       int64[batch,prompts] labels)
    => (float[batch,4,{CELLS},{CELLS}] masks, float[batch,4] scores) {{
  centre = Slice(points, zero, one, one)
  corner = Slice(points, minus_two, minus_one, one)
  opposite = Slice(points, minus_one, end, one)
  low = Sub(places, corner)
  high = Sub(opposite, places)
  both = Concat<axis=2>(low, high)
  inside = ReduceMin<keepdims=0>(both, two)
  away = Sub(places, centre)
  distance = ReduceL2<keepdims=0>(away, two)
  flat = Unsqueeze(distance, one)
  discs = Sub(radii, flat)
  box = Unsqueeze(inside, one)
  all = Concat<axis=1>(box, discs)
  masks = Reshape(all, shape)
  whole = Cast<to=1>(labels)
  total = ReduceSum(whole, one)
  nothing = Mul(total, zeros)
  others = Add(nothing, constants)
  scores = Concat<axis=1>(total, others)
}}"""


def _constants() -> dict[str, Any]:
    centres = (np.arange(CELLS, dtype=np.float32) + 0.5) * SIDE / CELLS
    x, y = np.meshgrid(centres, centres)
    return {
        "places": np.stack([x.ravel(), y.ravel()], axis=1)[None],
        "radii": np.array(RADII, np.float32)[None, :, None],
        "constants": np.array([SCORES], np.float32),
        "zeros": np.zeros((1, 3), np.float32),
        "shape": np.array([0, 4, CELLS, CELLS]),
        "minus_two": np.array([-2]),
        "minus_one": np.array([-1]),
        "end": np.array([2**31]),
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
    }


def _model(folder: Path, text: str, constants: dict[str, Any]) -> dict[str, Any]:
    """Write a graph; what the manifest says of it."""
    model = parser.parse_model(text)
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    path = folder / f"{model.graph.name}.onnx"
    onnx.save(model, path)

    def tensors(values: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": value.name,
                "shape": [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
                "dtype": "int64" if value.type.tensor_type.elem_type == 7 else "float32",
            }
            for value in values
        ]

    file = {"name": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size}
    return {
        "files": [file],
        "inputs": tensors(model.graph.input),
        "outputs": tensors(model.graph.output),
        "opset": 20,
        "precision": "fp32",
        "compute": {},
        "stored_as": "fp32",
    }


def mask_bundle(folder: Path, mode: str = "corner") -> Bundle:
    """A bundle in a new folder; its embedding is the frame's mean colour in each cell."""
    folder.mkdir(parents=True)
    recipe = {
        "name": folder.name,
        "summary": "masks by rule",
        "frame": {"mode": mode, "side": SIDE, "resample": "bilinear", "padding": PADDING},
        "grid": GRID,
        "backbones": [{"name": "sam-rules", "taps": [{"at": "neck"}]}],
        "matching": {},
        "masks": True,
    }
    figures = ("cosine_min", "cosine_mean", "max_abs_error", "relative_error")
    parity = dict.fromkeys((*figures, "images", "match_agreement", "near_agreement"), 0)
    manifest = {
        "name": folder.name,
        "recipe": recipe,
        "models": [_model(folder, _FEATURES, {})],
        "weights": [],
        "parity": parity,
        "built": {"date": "2025-01-01", "versions": {}},
        "masks": {"model": _model(folder, _MASKS, _constants()), "relative_error": 0},
    }
    checked = Manifest.model_validate(manifest)
    (folder / "manifest.json").write_text(checked.model_dump_json(), "utf-8")
    return Bundle(folder, read_manifest(folder))
