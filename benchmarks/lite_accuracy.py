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
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from geoaware.runtime import FeatureMap, Frame, Pipeline
from geoaware.runtime.images import load
from geoaware.runtime.matcher import Matcher
from geoaware.runtime.recipe import Matching, Recipe

from . import pck
from .pairs import Pair, data_folder, pf_willow, spair_mini
from .pytorch import Normalisation, pytorch
from .readme import accuracy_table
from .record import save

Predict = Callable[[Pair], NDArray[np.float64]]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def main() -> None:
    """Measure every row on both datasets."""
    folder = data_folder()
    datasets = {"PF-Willow": pf_willow(folder), "SPair-71k-mini": spair_mini(folder)}
    late = ("block10", "block12", "block14")
    rows: dict[str, Callable[[], Predict]] = {
        "copy the coordinates": lambda: copy_coordinates,
        "block 14, argmax, ImageNet mean and std": lambda: plain(("block14",), IMAGENET),
        "blocks 10 + 12 + 14, argmax, ImageNet mean and std": lambda: plain(late, IMAGENET),
        "block 14, argmax, the network's own mean and std": lambda: plain(("block14",), None),
        "blocks 10 + 12 + 14, argmax, own mean and std": lambda: plain(late, None),
        "lite, argmax": lambda: shipped(Matching()),
        "lite, as it ships": lambda: shipped(None),
    }
    results = {
        name: {dataset: score(make(), pairs, name) for dataset, pairs in datasets.items()}
        for name, make in rows.items()
    }
    bundle = Pipeline.load().bundle.manifest
    content = {
        "bundle": bundle.hash(),
        "matching": bundle.recipe.matching.model_dump(),
        "pck": results,
    }
    packages = ("geoaware", "onnxruntime", "torch", "numpy", "pillow")
    print(save("lite_accuracy", "python -m benchmarks.lite_accuracy", packages, content))
    print(accuracy_table())


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
        return pipeline.match(source, target, pair.source_on(source.frame), matching).target

    return predict


def plain(blocks: tuple[str, ...], normalisation: Normalisation | None) -> Predict:
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
    descriptors = pytorch(recipe, normalisation)

    @cache
    def extract(path: Path) -> FeatureMap:
        image = load(path)
        return FeatureMap(descriptors(image), Frame.fit("stretch", 512, *image.size), "plain")

    def predict(pair: Pair) -> NDArray[np.float64]:
        source, target = extract(pair.source), extract(pair.target)
        return Matcher(recipe.matching).match(source, target, pair.source_on(source.frame)).target

    return predict


def copy_coordinates(pair: Pair) -> NDArray[np.float64]:
    """The same place relative to the image's size: what knowing nothing gives."""
    with Image.open(pair.source) as source, Image.open(pair.target) as target:
        return pair.source_points * (np.array(target.size) / source.size)


if __name__ == "__main__":
    main()
