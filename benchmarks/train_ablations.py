"""What each part of the training is worth: a run without it, or with another.

Every row is a run of its own with the preset animalpose-lite, but shorter. It is measured on
AnimalPose photographs held out of it; rows with a species unseen learn from the four others and are
measured on that one. SPair-71k-mini and PF-Willow are measured beside that.
Writes results/train_ablations.json after every row; rows that are there, with the same steps, are
kept.

    GEOAWARE_DATA=DIR python -m benchmarks.train_ablations [--only NAME …]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from geoaware.export import head_run, recipe_files
from geoaware.export.graphs import Fusion
from geoaware.export.state_dict import read_state
from geoaware.runtime import FeatureMap
from geoaware.runtime.cli.watch import Bars
from geoaware.runtime.datasets import images
from geoaware.runtime.evaluation.outcome import Outcome
from geoaware.runtime.matcher import Matcher
from geoaware.runtime.recipe import Recipe
from geoaware.runtime.store import store_root
from geoaware.train.extraction import Taps, extract
from geoaware.train.head import ProjectionHead
from geoaware.train.head_task import described

from .pairs import data_folder
from .readme import ablation_table
from .record import RESULTS, save
from .trained_pck import MeasuredSet, held_out, shares, summary, unseen_sets

STEPS = 150
UNSEEN = "cow"
FOUR = ("data.categories=[cat, dog, horse, sheep]", f"validation.categories=[{UNSEEN}]")
ALPHA = "0.10"

# Settings by row.
ROWS: dict[str, tuple[str, ...]] = {
    "the base": (),
    "768 channels out": ("head.outputs=768",),
    "64 channels out": ("head.outputs=64",),
    "without the term cells, as in the paper": ("losses.cells=0",),
    "without the term contrastive": ("losses.contrastive=0",),
    "without the term dense": ("losses.dense=0",),
    "dense in a window of 5 cells": ("losses.window=5",),
    "without noise": ("losses.noise=0",),
    "without dropout": ("head.dropout=0",),
    "without the source mirrored": ("mirroring.source=0",),
    "without both mirrored": ("mirroring.both=0",),
    "without own mirror images": ("mirroring.own=0",),
    "frame 384": ("frame=384",),
    f"the base, {UNSEEN}s unseen": FOUR,
    f"without the source mirrored, {UNSEEN}s unseen": ("mirroring.source=0", *FOUR),
}
# The same head in bundles that keep a share of the similarity of `lite`.
KEPT = {"the base": (0.3, 0.5, 0.7), f"the base, {UNSEEN}s unseen": (0.5,)}


def main() -> None:
    """Train and measure every row that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="rows to run")
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    command = f"python -m benchmarks.train_ablations --steps {arguments.steps}"
    results = _there(arguments.steps)
    for name, changes in ROWS.items():
        if name in results or (arguments.only and name not in arguments.only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            _train(run, (*changes, f"fitting.steps={arguments.steps}"))
            for keep in (0.0, *KEPT.get(name, ())):
                row = f"{name}, keep {keep:g}" if keep else name
                results[row] = {"settings": list(changes), "keep": keep, **measure(run, keep)}
        packages = ("geoaware", "torch", "accelerate", "numpy", "pillow")
        content = {"steps": arguments.steps, "unseen": UNSEEN, "rows": results}
        print(save("train_ablations", command, packages, content))
    print(ablation_table())


def _there(steps: int) -> dict[str, Any]:
    path = RESULTS / "train_ablations.json"
    if not path.exists():
        return {}
    results = json.loads(path.read_text("utf-8"))["results"]
    return results["rows"] if results["steps"] == steps else {}


def _train(run: Path, changes: tuple[str, ...]) -> None:
    words = [word for change in changes for word in ("--set", change)]
    command = [sys.executable, "-m", "geoaware.train", "head", "--preset", "animalpose-lite"]
    subprocess.run(
        [*command, "--out", str(run), "--set", "validation.every=50", *words],
        check=True,
        stdout=sys.stderr,
    )


def measure(run: Path, keep: float) -> dict[str, Any]:
    """PCK@0.10 of a run's best head: held out, and on the sets that nothing was learnt of."""
    record = json.loads((run / "run.json").read_text("utf-8"))
    trained = head_run.read(run)
    recipe = trained.recipe_for(recipe_files.load("lite"), keep)
    head = ProjectionHead.from_state_dict(read_state(trained.checkpoint))
    fusion = Fusion(recipe, head).eval()
    found: dict[str, Any] = {"parameters": record["parameters"]}
    categories = tuple(record["settings"]["validation"]["categories"])
    for measured in (held_out(data_folder(), categories), *unseen_sets(data_folder())):
        for name, values in shares(measured, outcomes(measured, recipe, fusion)).items():
            title = measured.title if name == "all" else f"{measured.title}, {name}"
            found[title] = summary(measured, values)[ALPHA]
    return found


def outcomes(measured: MeasuredSet, recipe: Recipe, fusion: Fusion) -> list[Outcome]:
    """Where a set's keypoints are found with descriptors that PyTorch makes of stored taps."""
    taps = _taps(measured, recipe)

    @cache
    def features(path: Path) -> FeatureMap:
        with torch.inference_mode():
            descriptors, frame = described(fusion, taps, path)
        return FeatureMap(descriptors, frame, "in training")

    matcher, soft = Matcher(recipe.matching), recipe.matching.soft_argmax()
    results = []
    for pair in measured.pairs:
        asked = pair.source.points[pair.mutual]
        [found], similarity = matcher.find(
            features(pair.source.path), features(pair.target.path), asked, [soft]
        )
        results.append(Outcome(pair, found, similarity))
    return results


def _taps(measured: MeasuredSet, recipe: Recipe) -> Taps:
    return extract(
        images(measured.pairs),
        recipe,
        mirrored=False,
        store=store_root(None),
        sources={},
        seed=None,
        device="cpu",
        watch=Bars(),
    )


if __name__ == "__main__":
    main()
