"""Every recipe built and run: size, time, memory, parity. Writes results/backbones.json.

Weights are random but for `lite`: architecture, precision and speed do not depend on them.

    GEOAWARE_DATA=DIR python -m benchmarks.backbones [RECIPE[:PRECISION] …]

Names of recipes measure these again and leave the other rows as they are.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import onnx

from geoaware.bench.programs import GEOEXPORT, GEORUN, measured
from geoaware.examples import PHOTOGRAPHS
from geoaware.export import recipe_files
from geoaware.runtime import Bundle
from geoaware.runtime.manifest import Manifest

from .pairs import data_folder
from .record import RESULTS, save

NAME = "backbones"
LARGE_MB = 1000  # takes long for an image: one warm run has to do
MEASURED = Path(__file__).parent.parent / "export" / "measured.json"

_LATENCY = """
import json, resource, sys, time
from geoaware.examples import PHOTOGRAPHS
from geoaware.runtime import Pipeline
pipe = Pipeline.load(sys.argv[1])
pipe.extract(PHOTOGRAPHS[0])
seconds = []
for run in range(int(sys.argv[2])):
    started = time.perf_counter()
    pipe.extract(PHOTOGRAPHS[run % len(PHOTOGRAPHS)])
    seconds.append(time.perf_counter() - started)
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def precisions(recipe: str) -> list[str]:
    """The precisions a recipe is measured in."""
    if "sd15" in recipe:
        return ["fp32", "fp16"]
    return ["fp32"] if recipe.endswith("-masks") else ["fp32", "fp16", "int8"]


def main() -> None:
    """Measure the recipes named, or all."""
    asked = sys.argv[1:] or recipe_files.names()
    path = RESULTS / f"{NAME}.json"
    results = json.loads(path.read_text("utf-8"))["results"] if path.exists() else {}
    for text in asked:
        recipe, _, only = text.partition(":")
        for precision in [only] if only else precisions(recipe):
            print(recipe, precision, "…", flush=True)
            results.setdefault(recipe, {})[precision] = row = measure(recipe, precision)
            print(json.dumps(row, indent=2), flush=True)
            packages = ("geoaware", "torch", "transformers", "diffusers", "onnxruntime", "numpy")
            save(NAME, "python -m benchmarks.backbones", packages, results)
    small = {
        recipe: {key: rows["fp32"][key] for key in ("bundle_mb", "extract_mb")}
        for recipe, rows in sorted(results.items())
        if "fp32" in rows
    }
    MEASURED.write_text(json.dumps(small, indent=2) + "\n", "utf-8")


def measure(recipe: str, precision: str) -> dict[str, Any]:
    """Build a recipe in a fresh process, then match and evaluate with the bundle."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        weights = [] if recipe == "lite" else ["--random-weights", "0"]
        build = [GEOEXPORT, "build", recipe, "--precision", precision, "--out", str(bundle)]
        try:
            [build_s], build_mb = measured([*build, *weights], 1)
        except subprocess.CalledProcessError:
            return {"refused": _refusal([*build, *weights])}
        manifest = Bundle.open(bundle).verified().manifest
        bundle_mb = round(sum(file.bytes for file in manifest.files) / 1e6)
        extract_ms, extract_mb = latency(bundle, runs=1 if bundle_mb > LARGE_MB else 5)
        row = {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "million_parameters": _parameters(bundle, manifest),
            "bundle_mb": bundle_mb,
            "build_s": round(build_s, 1),
            "build_mb": build_mb,
            "extract_ms": extract_ms,
            "extract_mb": extract_mb,
            "compute": [model.compute for model in manifest.models],
            "parity": manifest.parity.model_dump(),
        }
        if manifest.masks:
            row["mask_error"] = manifest.masks.relative_error
        if precision == "fp32":
            row |= _used(bundle, Path(folder), with_match=bundle_mb < LARGE_MB)
        return row


def _refusal(command: list[str]) -> str:
    """The line with which a build ends whose model is not what it should be."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    if "not the model it should be" not in last:
        raise RuntimeError(last)
    return last


def _parameters(bundle: Path, manifest: Manifest) -> float:
    """Millions of weights and constants in the graphs."""
    graphs = [
        onnx.load(bundle / m.files[0].name, load_external_data=False) for m in manifest.models
    ]
    sizes = (math.prod(each.dims) for model in graphs for each in model.graph.initializer)
    return round(sum(sizes) / 1e6, 1)


def latency(bundle: Path, runs: int) -> tuple[float, int]:
    """The median time of an image after a first one, ms; the peak memory of doing so, MB."""
    command = [sys.executable, "-c", _LATENCY, str(bundle), str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak_kb = json.loads(done.stdout)
    return round(1000 * statistics.median(seconds), 1), round(peak_kb / 1024)


def _used(bundle: Path, folder: Path, with_match: bool) -> dict[str, float]:
    """The times of an evaluation of one pair, and of a match of two other images."""
    root = str(data_folder() / "PF-WILLOW")
    store = ["--store", str(folder / "store")]
    evaluate = [GEORUN, "eval", "pf-willow", "--root", root, "--limit", "1", *store]
    commands = {"eval_s": evaluate}
    if with_match:
        commands["match_s"] = [GEORUN, "match", *map(str, PHOTOGRAPHS[:2])]
    bundle_option = ["--bundle", str(bundle)]
    return {
        name: round(measured([*command, *bundle_option], 1)[0][0], 1)
        for name, command in commands.items()
    }


if __name__ == "__main__":
    main()
