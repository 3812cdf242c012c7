"""PCK of the shipped `lite` bundle, and of plainer ways to use the same network.

PF-Willow, all 900 pairs (reference: longer side of the target image), and SPair-71k-mini, 100
pairs (reference: longer side of the target's box); distance <= alpha * reference, mean per image.
Writes results/lite_accuracy.json.

    GEOAWARE_DATA=DIR python -m benchmarks.lite_accuracy
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from geoaware.export.backbones import efficientnet_lite, entry
from geoaware.export.graphs import Fusion, Taps
from geoaware.export.state_dict import read_state
from geoaware.export.weights import resolve
from geoaware.runtime import FeatureMap, Frame, Pipeline
from geoaware.runtime.images import load, to_frame
from geoaware.runtime.matcher import Matcher
from geoaware.runtime.recipe import Matching, Recipe

from . import pck
from .pairs import Pair, data_folder, pf_willow, spair_mini
from .record import save

Predict = Callable[[Pair], NDArray[np.float64]]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OWN = (efficientnet_lite.EfficientNetLite0.mean, efficientnet_lite.EfficientNetLite0.std)


def main() -> None:
    """Measure every row on both datasets."""
    folder = data_folder()
    datasets = {"PF-Willow": pf_willow(folder), "SPair-71k-mini": spair_mini(folder)}
    late = ("block10", "block12", "block14")
    rows: dict[str, Callable[[], Predict]] = {
        "copy the coordinates": lambda: copy_coordinates,
        "block 14, argmax, ImageNet mean and std": lambda: plain(("block14",), IMAGENET),
        "blocks 10 + 12 + 14, argmax, ImageNet mean and std": lambda: plain(late, IMAGENET),
        "block 14, argmax, the network's own mean and std": lambda: plain(("block14",), OWN),
        "blocks 10 + 12 + 14, argmax, own mean and std": lambda: plain(late, OWN),
        "lite, argmax": lambda: shipped(Matching()),
        "lite, as it ships": lambda: shipped(None),
    }
    results = {
        name: {dataset: score(make(), pairs, name) for dataset, pairs in datasets.items()}
        for name, make in rows.items()
    }
    print_table(results)
    bundle = Pipeline.load().bundle.manifest
    content = {
        "bundle": bundle.hash(),
        "matching": bundle.recipe.matching.model_dump(),
        "pck": results,
    }
    packages = ("geoaware", "onnxruntime", "torch", "numpy", "pillow")
    print(save("lite_accuracy", "python -m benchmarks.lite_accuracy", packages, content))


def score(predict: Predict, pairs: Sequence[Pair], name: str = "") -> dict[str, float]:
    """PCK per image, in percent, by alpha."""
    progress = track(pairs, name, console=Console(stderr=True), transient=True)
    return pck.per_image([pck.found(pair, predict(pair)) for pair in progress])


def shipped(matching: Matching | None) -> Predict:
    """The bundle that ships, with its own way to match or another."""
    pipeline = Pipeline.load()
    extract = cache(pipeline.extract)

    def predict(pair: Pair) -> NDArray[np.float64]:
        source, target = extract(pair.source), extract(pair.target)
        return pipeline.match(source, target, on_image(pair, source), matching).target

    return predict


def plain(
    blocks: tuple[str, ...], normalisation: tuple[tuple[float, ...], tuple[float, ...]]
) -> Predict:
    """Blocks of the network in PyTorch, stretched to 512 x 512, equal weights, argmax."""
    recipe = Recipe.model_validate(
        {
            "name": "plain",
            "summary": "",
            "frame": {"mode": "stretch", "side": 512, "resample": "bilinear-no-antialias"},
            "grid": 32,
            "backbones": [{"name": "efficientnet-lite0", "taps": [{"at": b} for b in blocks]}],
            "matching": {},
        }
    )
    weights = resolve("efficientnet-lite0", entry("efficientnet-lite0").weights)
    network = efficientnet_lite.load(read_state(weights.path), blocks, 512)
    network.mean, network.std = normalisation
    taps, fusion = Taps(network, torch.float32), Fusion(recipe)

    @cache
    def extract(path: Path) -> FeatureMap:
        image = load(path)
        with torch.inference_mode():
            pixels = torch.from_numpy(to_frame(image, recipe.frame, 512)[None])
            descriptors = np.ascontiguousarray(fusion(*taps(pixels))[0].numpy())
        return FeatureMap(descriptors, Frame.fit("stretch", 512, *image.size), "plain")

    def predict(pair: Pair) -> NDArray[np.float64]:
        source, target = extract(pair.source), extract(pair.target)
        return Matcher(recipe.matching).match(source, target, on_image(pair, source)).target

    return predict


def copy_coordinates(pair: Pair) -> NDArray[np.float64]:
    """The same place relative to the image's size: what knowing nothing gives."""
    with Image.open(pair.source) as source, Image.open(pair.target) as target:
        return pair.source_points * (np.array(target.size) / source.size)


def on_image(pair: Pair, source: FeatureMap) -> NDArray[np.float64]:
    """The pair's source points; annotations may lie a pixel beyond the border."""
    return pair.source_points.clip(0, (source.frame.width, source.frame.height))


def print_table(results: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print a row per way and a column per dataset."""
    table = Table(title="PCK per image at 0.05 / 0.10 / 0.20, %")
    for column in ("", *next(iter(results.values()))):
        table.add_column(column)
    for name, by_dataset in results.items():
        cells = (" / ".join(f"{v:.1f}" for v in scores.values()) for scores in by_dataset.values())
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
