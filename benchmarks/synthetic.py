"""Stand-ins of full size: a bundle with random weights, SPair-71k with random images.

They have the shapes and the counts of the real ones, and nothing of their meaning.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from geoaware.runtime.bundle import MANIFEST, Bundle, sha256_of
from geoaware.runtime.manifest import Manifest

FILE = "features.onnx"
SIZE = (500, 375)


def random_bundle(folder: Path, side: int, cells: int, channels: int) -> Bundle:
    """A bundle whose descriptors are a random projection of each cell's mean colour.

    Frames are letterboxed to side x side; descriptors are (cells, cells, channels), unit norm.
    """
    folder.mkdir(parents=True)
    onnx.save(_graph(side, cells, channels), folder / FILE)
    shape = [cells, cells, channels]
    manifest = {
        "name": folder.name,
        "recipe": {
            "name": folder.name,
            "summary": "random weights",
            "frame": {"mode": "letterbox", "side": side, "resample": "lanczos"},
            "grid": cells,
            "backbones": [{"name": "random", "taps": [{"at": "projection"}]}],
            "matching": {
                "method": "softargmax", "window": 7, "temperature": 0.02, "variant": "zeroed",
            },
        },
        "models": [
            {
                "files": [
                    {
                        "name": FILE,
                        "sha256": sha256_of(folder / FILE),
                        "bytes": (folder / FILE).stat().st_size,
                    }
                ],
                "inputs": [
                    {"name": "image", "shape": ["batch", 3, side, side], "dtype": "float32"}
                ],
                "outputs": [
                    {"name": "descriptors", "shape": ["batch", *shape], "dtype": "float32"}
                ],
                "opset": 20,
                "precision": "fp32",
                "compute": {},
                "stored_as": "fp32",
            }
        ],
        "weights": [],
        "parity": dict.fromkeys(
            ("images", "cosine_min", "cosine_mean", "max_abs_error", "relative_error",
             "match_agreement", "near_agreement"), 0,
        ),
        "built": {"date": date.today().isoformat(), "versions": {}},
    }  # fmt: skip
    (folder / MANIFEST).write_text(Manifest.model_validate(manifest).model_dump_json(), "utf-8")
    return Bundle.open(folder)


def spair(root: Path, layout: Path, keypoints: int, size: tuple[int, int] = SIZE) -> None:
    """SPair-71k at `root`: random images and keypoints for all 1,800 names, the test pairs.

    layout: the folder that holds the official pair lists, `large/{trn,val,test}.txt`.
    """
    generator = np.random.default_rng(0)
    known: dict[tuple[str, str], list[list[int]]] = {}
    for split in ("test", "val", "trn"):
        lines = (layout / "large" / f"{split}.txt").read_text("utf-8").split()
        for line in lines:
            numbers, _, category = line.partition(":")
            names = numbers.split("-")[1:]
            for name in names:
                if (category, name) not in known:
                    points = generator.integers(1, size, (keypoints, 2)).tolist()
                    known[category, name] = points
                    _image(root, category, name, points, size, generator)
            if split == "test":
                _pair(root, line, names, [known[category, name] for name in names], size)
        if split == "test":
            (root / "Layout" / "large").mkdir(parents=True)
            (root / "Layout" / "large" / "test.txt").write_text("\n".join(lines) + "\n", "utf-8")


def _graph(side: int, cells: int, channels: int) -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    weights = generator.standard_normal((channels, 3, 1, 1)).astype(np.float32)
    step = side // cells
    nodes = [
        helper.make_node(
            "AveragePool", ["image"], ["pooled"], kernel_shape=[step, step], strides=[step, step]
        ),
        helper.make_node("Conv", ["pooled", "weights"], ["projected"]),
        helper.make_node("LpNormalization", ["projected"], ["unit"], axis=1, p=2),
        helper.make_node("Transpose", ["unit"], ["descriptors"], perm=[0, 2, 3, 1]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, side, side])
    descriptors = helper.make_tensor_value_info(
        "descriptors", TensorProto.FLOAT, ["batch", cells, cells, channels]
    )
    graph = helper.make_graph(
        nodes, "random", [image], [descriptors], [numpy_helper.from_array(weights, "weights")]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _image(
    root: Path,
    category: str,
    name: str,
    points: list[list[int]],
    size: tuple[int, int],
    generator: np.random.Generator,
) -> None:
    """A picture of random colours, and its annotation."""
    pixels = generator.integers(0, 256, (15, 20, 3), np.uint8)
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    path = root / "JPEGImages" / category / f"{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    slots = {str(number): None for number in range(30)}
    annotation = {
        "filename": f"{name}.jpg",
        "category": category,
        "image_width": size[0],
        "image_height": size[1],
        "bndbox": [0, 0, *size],
        "kps": slots | {str(number): point for number, point in enumerate(points)},
        "azimuth_id": 0,
    }
    _json(root / "ImageAnnotation" / category / f"{name}.json", annotation)


def _pair(
    root: Path, line: str, names: list[str], points: list[list[list[int]]], size: tuple[int, int]
) -> None:
    annotation = {
        "filename": line,
        "src_imname": f"{names[0]}.jpg",
        "trg_imname": f"{names[1]}.jpg",
        "src_imsize": [*size, 3],
        "trg_imsize": [*size, 3],
        "src_bndbox": [0, 0, *size],
        "trg_bndbox": [0, 0, *size],
        "category": line.partition(":")[2],
        "src_kps": points[0],
        "trg_kps": points[1],
        "kps_ids": [str(number) for number in range(len(points[0]))],
        "mirror": 0,
        "viewpoint_variation": 0,
        "scale_variation": 0,
        "truncation": 0,
        "occlusion": 0,
    }
    _json(root / "PairAnnotation" / "test" / f"{line}.json", annotation)


def _json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")
