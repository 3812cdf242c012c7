"""Time and memory of `lite`: the programs, and a warm match against PyTorch and OpenVINO.

Programs run as a user runs them: process start, wall time, peak memory. The warm match takes two
new images each time; every rival runs the same network on the same frames, fp32, on as many
threads as there are cores (onnxruntime's own choice too), in turn (A B C A B C …), and its
descriptors are compared with ours first. Pauses between the turns let idle threads go to sleep.
Writes results/lite_speed.json.

    python -m benchmarks.lite_speed
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from geoaware.examples import FOLDER, PHOTOGRAPHS
from geoaware.runtime import FeatureMap, Frame, Pipeline
from geoaware.runtime.images import load, to_frame

from .processes import GEORUN, measured
from .pytorch import Extract, pytorch
from .record import save

THREADS = os.cpu_count() or 1
ROUNDS = 40
PAUSE = 0.1  # seconds


def main() -> None:
    """Measure the programs, then the warm match."""
    results = {"programs": programs(), "warm_match": warm_match()}
    for name, figures in {**results["programs"], **results["warm_match"]}.items():
        print(f"{name}: {figures}")
    packages = ("geoaware", "onnxruntime", "torch", "openvino", "numpy", "pillow")
    print(save("lite_speed", "python -m benchmarks.lite_speed", packages, results))


def programs() -> dict[str, dict[str, float]]:
    """Median wall seconds and peak MB of the programs, each in a process of its own."""
    images = [str(FOLDER / "chelsea.png"), str(FOLDER / "cheetah1.jpg")]
    with tempfile.TemporaryDirectory() as folder:
        picture = str(Path(folder) / "out.png")
        commands = {
            "georun --help": [GEORUN, "--help"],
            "georun match": [GEORUN, "match", *images],
            "georun match --draw": [GEORUN, "match", *images, "--draw", picture],
        }
        return {name: program(command) for name, command in commands.items()}


def program(command: list[str]) -> dict[str, float]:
    """Median wall time of ten runs after one, and the largest peak memory of all."""
    seconds, peak_mb = measured(command, runs=11)
    return {"wall_s": round(statistics.median(seconds[1:]), 3), "peak_mb": peak_mb}


def warm_match() -> dict[str, dict[str, Any]]:
    """Milliseconds of a match of two new images, ours and each rival's, and the ratio."""
    torch.set_num_threads(THREADS)
    pipeline = Pipeline.load()
    rivals = {
        "geoaware": lambda image: pipeline.extract(image).descriptors,
        "PyTorch eager": pytorch(pipeline.bundle.manifest.recipe),
        "OpenVINO": openvino(pipeline),
    }
    images = [load(path) for path in PHOTOGRAPHS]
    differences = {
        name: float(max(abs(extract(each) - rivals["geoaware"](each)).max() for each in images))
        for name, extract in rivals.items()
    }
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(ROUNDS + 3):
        a, b = images[number % len(images)], images[(number + 1) % len(images)]
        for name, extract in rivals.items():
            time.sleep(PAUSE)
            started = time.perf_counter()
            match(pipeline, extract, a, b)
            if number >= 3:
                times[name].append((time.perf_counter() - started) * 1000)
    ours = statistics.median(times["geoaware"])
    return {
        name: {
            "median_ms": round(statistics.median(values), 1),
            "p10_ms": round(float(np.percentile(values, 10)), 1),
            "p90_ms": round(float(np.percentile(values, 90)), 1),
            "times_ours": round(statistics.median(values) / ours, 2),
            "max_difference": round(differences[name], 5),
            "threads": THREADS,
        }
        for name, values in times.items()
    }


def match(pipeline: Pipeline, extract: Extract, a: Image.Image, b: Image.Image) -> None:
    """Both images' features by `extract`, then the same matching for all."""
    spec = pipeline.bundle.manifest.recipe.frame
    source, target = (
        FeatureMap(extract(image), Frame.fit(spec.mode, spec.side, *image.size), "bench")
        for image in (a, b)
    )
    pipeline.match(source, target)


def openvino(pipeline: Pipeline) -> Extract:
    """The shipped ONNX model in OpenVINO, fp32."""
    import openvino as ov

    recipe = pipeline.bundle.manifest.recipe
    core = ov.Core()
    model = core.read_model(pipeline.bundle.file("features.onnx"))
    model.reshape([1, 3, recipe.frame.side, recipe.frame.side])
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": THREADS,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(model, "CPU", settings)

    def extract(image: Image.Image) -> NDArray[np.float32]:
        pixels = to_frame(image, recipe.frame, recipe.frame.side)[None]
        return compiled({"image": pixels})["descriptors"][0]

    return extract


if __name__ == "__main__":
    main()
