"""Choose the `lite` recipe's frame, tap weights and matching, on AnimalPose photographs only.

Two searches, both by PCK@0.10 per image (box reference): frame and tap weights with three ways
to match, then the way to match at the best of those. Of the frames the smallest is taken that
loses less than half a point to the best: half a point is inside the noise of 500 pairs, and the
time of a match grows with the frame's area. Writes results/tune_lite.json.

    GEOAWARE_DATA=DIR python -m benchmarks.tune_lite
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from rich.progress import track

from geoaware.export.backbones import entry
from geoaware.export.graphs import Fusion, Taps
from geoaware.export.registry import known
from geoaware.export.state_dict import read_state
from geoaware.export.weights import resolve
from geoaware.kernels import SoftArgmax
from geoaware.runtime import FeatureMap, Frame
from geoaware.runtime.datasets import Pair, images
from geoaware.runtime.evaluation.protocols import PROTOCOLS
from geoaware.runtime.evaluation.results import key
from geoaware.runtime.images import load, to_frame
from geoaware.runtime.matcher import Matcher
from geoaware.runtime.recipe import BackboneUse, FrameSpec, Matching, Recipe, Tap

from .pairs import animal_pose, data_folder
from .record import save

BOX = PROTOCOLS["box"]

BLOCKS = ("block10", "block11", "block12", "block13", "block14")
SIDES = (384, 448, 512, 576, 640)
WEIGHTS = [
    {"block14": 1.0},
    {"block12": 1.0, "block14": 1.0},
    {"block10": 1.0, "block12": 1.0, "block14": 1.0},
    {"block10": 0.7, "block12": 1.0, "block13": 1.0, "block14": 1.0},
    *(
        {"block10": a, "block12": b, "block14": 1.0}
        for a, b in product((0.3, 0.4, 0.5, 0.6, 0.7), (0.4, 0.7, 1.0))
    ),
]
FIRST = [
    None,
    SoftArgmax(9, 0.05, "cropped"),
    SoftArgmax(5, 0.02, "zeroed"),
]
SECOND = [
    None,
    *(SoftArgmax(k, t, "cropped") for k in (3, 5, 7, 9, 11, 15) for t in (0.02, 0.05, 0.1)),
    *(SoftArgmax(w, t, "zeroed") for w in (2, 3, 4, 5, 7, 9) for t in (0.01, 0.02, 0.03, 0.05)),
]


def main() -> None:
    """Run both searches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-category", type=int, default=100)
    arguments = parser.parse_args()
    pairs = animal_pose(data_folder(), arguments.per_category)

    first = [row for side in SIDES for row in _score_side(pairs, side, WEIGHTS, FIRST)]
    best = _smallest_good_frame(first)
    second = list(_score_side(pairs, best["side"], [best["weights"]], SECOND))
    chosen = max(second, key=lambda row: row["pck"]["0.10"])
    print(chosen)
    command = f"python -m benchmarks.tune_lite --per-category {arguments.per_category}"
    results = {
        "pairs": len(pairs),
        "chosen": chosen,
        "frame_and_weights": first,
        "matching": second,
    }
    print(save("tune_lite", command, ("torch", "numpy", "pillow"), results))


def _smallest_good_frame(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    by_score = sorted(rows, key=lambda row: -row["pck"]["0.10"])
    good = [row for row in by_score if row["pck"]["0.10"] > by_score[0]["pck"]["0.10"] - 0.5]
    return min(good, key=lambda row: row["side"])


def _score_side(
    pairs: Sequence[Pair],
    side: int,
    weightings: Sequence[dict[str, float]],
    settings: Sequence[SoftArgmax | None],
) -> Iterator[dict[str, Any]]:
    taps = _all_taps(pairs, side)
    for weights in weightings:
        recipe = _recipe(side, weights)
        fusion = Fusion(recipe)
        maps = {}
        for path, (outputs, frame) in taps.items():
            used = [outputs[block].float() for block in weights]
            with torch.inference_mode():
                maps[path] = FeatureMap(fusion(*used)[0].numpy(), frame, "tuning")
        scores = [
            _score(pair, maps[pair.source.path], maps[pair.target.path], settings) for pair in pairs
        ]
        for setting, shares in zip(settings, np.stack(scores, axis=1), strict=True):
            matching = vars(setting) if setting else "argmax"
            row = {"side": side, "grid": recipe.grid, "weights": weights, "matching": matching}
            yield row | {"pck": _percent(shares.mean(axis=0))}


def _percent(shares: np.ndarray) -> dict[str, float]:
    percent = (100 * shares).round(2).tolist()
    return dict(zip(map(key, BOX.alphas), percent, strict=True))


def _all_taps(pairs: Sequence[Pair], side: int) -> dict[Any, Any]:
    """Every tap of every image, in half precision: path to (block to tensor, frame)."""
    [use] = _recipe(side, dict.fromkeys(BLOCKS, 1.0)).backbones
    weights = resolve(use.name, known(use.name))
    states = {"model": read_state(weights.files["model"])}
    network = Taps(entry(use.name).load(states, use, side), torch.float32)
    spec = _recipe(side, {"block10": 1.0}).frame
    taps = {}
    for path in track(images(pairs), str(side)):
        image = load(path)
        with torch.inference_mode():
            outputs = network(torch.from_numpy(to_frame(image, spec, side)[None]))
        by_block = {block: tap.half() for block, tap in zip(BLOCKS, outputs, strict=True)}
        taps[path] = (by_block, Frame.fit(spec.mode, side, image.width, image.height))
    return taps


def _score(
    pair: Pair, source: FeatureMap, target: FeatureMap, settings: Sequence[SoftArgmax | None]
) -> np.ndarray:
    """Shares of keypoints found, one row per setting, from similarities computed once."""
    points, truth = (side.points[pair.mutual] for side in (pair.source, pair.target))
    found, _ = Matcher(Matching()).find(source, target, points, settings)
    distances = np.linalg.norm(np.stack(found) - truth, axis=2)
    return BOX.correct(pair, distances, BOX.alphas).mean(axis=1)


def _recipe(side: int, weights: dict[str, float]) -> Recipe:
    taps = tuple(Tap(at=block, weight=weight) for block, weight in weights.items())
    return Recipe(
        name="tuning",
        summary="",
        frame=FrameSpec(mode="stretch", side=side, resample="bilinear"),
        grid=side // 16,
        backbones=(BackboneUse(name="efficientnet-lite0", taps=taps),),
        matching=Matching(),
    )


if __name__ == "__main__":
    main()
