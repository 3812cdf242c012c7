"""PCK of the shipped `lite` bundle, and of plainer ways to use the same network.

PF-Willow, all 900 pairs, protocol `image`, and SPair-71k-mini, 100 pairs, protocol `box`; mean per
image, from features in float32.
Writes results/lite_accuracy.json.

    GEOAWARE_DATA=DIR python -m benchmarks.lite_accuracy
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from geoaware.runtime import FeatureMap, Frame, Pipeline
from geoaware.runtime.datasets import Pair
from geoaware.runtime.evaluation.outcome import Outcome
from geoaware.runtime.evaluation.protocols import PROTOCOLS, Protocol
from geoaware.runtime.evaluation.scores import score as compute
from geoaware.runtime.images import load
from geoaware.runtime.matcher import Matcher
from geoaware.runtime.recipe import Matching, Recipe

from .pairs import data_folder, pf_willow, spair_mini
from .pytorch import Normalisation, pytorch
from .readme import accuracy_table
from .record import save

Predict = Callable[[Pair], NDArray[np.float64]]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def main() -> None:
    """Measure every row on both datasets."""
    folder = data_folder()
    datasets = {
        "PF-Willow": (pf_willow(folder), PROTOCOLS["image"]),
        "SPair-71k-mini": (spair_mini(folder), PROTOCOLS["box"]),
    }
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
        name: {
            dataset: score(make(), pairs, protocol, name)
            for dataset, (pairs, protocol) in datasets.items()
        }
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


def score(
    predict: Predict, pairs: Sequence[Pair], protocol: Protocol, name: str = ""
) -> dict[str, float]:
    """PCK per image, in percent, by alpha."""
    progress = track(pairs, name, console=Console(stderr=True), transient=True)
    outcomes = [Outcome(pair, predict(pair), np.zeros(0, np.float32)) for pair in progress]
    overall = compute(protocol, protocol.alphas, "", outcomes).overall
    return {alpha: round(value, 2) for alpha, value in overall.per_image.items()}


def shipped(matching: Matching | None) -> Predict:
    """The bundle that ships, with its own way to match or another."""
    pipeline = Pipeline.load()
    extract = cache(pipeline.extract)

    def predict(pair: Pair) -> NDArray[np.float64]:
        source, target = extract(pair.source.path), extract(pair.target.path)
        return pipeline.match(source, target, asked(pair), matching).target

    return predict


def asked(pair: Pair) -> NDArray[np.float64]:
    """The source's keypoints that are visible in both images (K, 2)."""
    return pair.source.points[pair.mutual]


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
        source, target = extract(pair.source.path), extract(pair.target.path)
        return Matcher(recipe.matching).match(source, target, asked(pair)).target

    return predict


def copy_coordinates(pair: Pair) -> NDArray[np.float64]:
    """The same place relative to the image's size: what knowing nothing gives."""
    return asked(pair) * (np.array(pair.target.size) / pair.source.size)


if __name__ == "__main__":
    main()
