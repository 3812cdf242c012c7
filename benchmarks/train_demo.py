"""From photographs to a better `lite`: extract, train, build, evaluate, with every command timed.

Trains the head of the preset animalpose-lite on AnimalPose photographs, builds it into bundles
that keep no and some share of the similarity of `lite`, and into one of larger frames, and
compares them with `lite` on photographs held out of the training, on SPair-71k-mini and on
PF-Willow; docs/training.md says what part each had in choosing settings.
Writes results/train_demo.json.

    GEOAWARE_DATA=DIR python -m benchmarks.train_demo
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from geoaware.runtime import Pipeline
from geoaware.runtime.evaluation.outcome import Outcome
from geoaware.train.journal import read_metrics

from .pairs import data_folder
from .readme import trained_table
from .record import save
from .trained_pck import MeasuredSet, Shares, held_out, shares, summary, unseen_sets

PRESET = "animalpose-lite"
LARGER = "--frame", "640"
# Options of `geoexport build lite --head RUN`.
TRAINED: tuple[tuple[str, ...], ...] = ((), ("--keep", "0.4"), ("--keep", "0.7"), LARGER)


def main() -> None:
    """Run the commands, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, help="keep runs and bundles in this folder")
    arguments = parser.parse_args()
    sets = [held_out(data_folder()), *unseen_sets(data_folder())]
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.runs or Path(scratch)
        store = ["--store", str(folder / "store")]
        run = folder / "run"
        commands = {
            "extract": _timed("geotrain", "extract", "lite", "animal-pose", *store),
            "head": _timed("geotrain", "head", "--preset", PRESET, *store, "--out", str(run)),
        }
        before = {measured.title: _shares(Pipeline.load(), measured) for measured in sets}
        rows = {"lite": {title: _figures(sets, title, found) for title, found in before.items()}}
        head = "--head", str(run)
        wanted = [("lite", LARGER, ()), *(("lite-animalpose", each, head) for each in TRAINED)]
        for name, options, of_head in wanted:
            title = ", ".join(filter(None, (name, " ".join(options))))
            bundle = folder / title
            build = "geoexport", "build", "lite", *of_head, *options, "--out", str(bundle)
            commands[f"build {title}"] = _timed(*build)
            after = {measured.title: _shares(Pipeline.load(bundle), measured) for measured in sets}
            rows[title] = {
                each: _figures(sets, each, found, before[each]) for each, found in after.items()
            }
        trained = _training(run)
    content = {"commands": commands, "training": trained, "pck": rows}
    packages = ("geoaware", "torch", "accelerate", "onnxruntime", "numpy", "pillow")
    print(save("train_demo", "python -m benchmarks.train_demo", packages, content))
    print(trained_table())


def _timed(*words: str) -> dict[str, Any]:
    """Run a command of this installation; it shows itself on stderr."""
    program = {"geotrain": "train", "geoexport": "export"}[words[0]]
    print("$", shlex.join(words), file=sys.stderr)
    started = time.perf_counter()
    command = [sys.executable, "-m", f"geoaware.{program}", *words[1:]]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return {"seconds": round(time.perf_counter() - started, 1)}


def _shares(pipeline: Pipeline, measured: MeasuredSet) -> Shares:
    """Each pair's share of keypoints found, from features in float32."""
    paths = {side.path for pair in measured.pairs for side in (pair.source, pair.target)}
    maps = {path: pipeline.extract(path) for path in sorted(paths)}
    outcomes = []
    for pair in measured.pairs:
        asked = pair.source.points[pair.mutual]
        found = pipeline.match(maps[pair.source.path], maps[pair.target.path], asked)
        outcomes.append(Outcome(pair, found.target, found.similarity))
    return shares(measured, outcomes)


def _figures(
    sets: list[MeasuredSet], title: str, found: Shares, before: Shares | None = None
) -> dict[str, Any]:
    [measured] = [each for each in sets if each.title == title]
    return {
        name: {"pck": summary(measured, values)}
        | ({} if before is None else {"gain": summary(measured, values - before[name])})
        for name, values in found.items()
    }


def _training(run: Path) -> dict[str, Any]:
    rows = read_metrics(run)
    best = max((row for row in rows if "pck" in row), key=lambda row: row["pck"])
    record = json.loads((run / "run.json").read_text("utf-8"))
    return {
        "minutes": round(rows[-1]["time"] / 60, 1),
        "steps": rows[-1]["step"],
        "parameters": record["parameters"],
        "validation": {"step": best["step"], "pck": round(best["pck"], 2)},
        "data": record["data"],
        "settings": record["settings"],
    }


if __name__ == "__main__":
    main()
