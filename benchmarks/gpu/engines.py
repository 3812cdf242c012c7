"""Engines built on this GPU: what they compute, how long a match takes, and PyTorch beside them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from geoaware.kernels.cuda.open import open_device

from .outcomes import Case, Figures, MissingError, Target, require
from .timing import Times

if TYPE_CHECKING:
    from PIL import Image

    from geoaware.runtime import Pipeline
    from geoaware.runtime.engines import Device

RECIPES = "lite", "dinov2-s"
MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
TO_RUN = "pydantic", "onnxruntime", "PIL", "safetensors"
TO_BUILD = (
    *TO_RUN, "click", "rich", "yaml", "filelock", "torch", "onnx", "onnxscript", "transformers",
    "huggingface_hub",
)  # fmt: skip
SAME = Target("cosine_mean", at_least=0.999)  # of the descriptors of an image, and onnxruntime's
WARM_UP, MATCHES = 5, 30


def cases() -> list[Case]:
    """Every recipe in every kind of engine, and onnxruntime on the GPU."""
    named: list[Case] = [
        (f"{recipe}, {kind}", partial(built, recipe, kind))
        for kind in MODULES
        for recipe in RECIPES
    ]
    return [*named, ("lite, onnxruntime on the GPU", provided)]


def built(recipe: str, kind: Device) -> Figures:
    """A recipe with random weights, built in fp16 with an engine, and measured.

    Raises MissingError where a package is not installed, or builds no engines for this GPU.
    """
    require(MODULES[kind], *TO_BUILD)
    _require_architecture(kind)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / recipe
        command = [sys.executable, "-m", "geoaware.export", "build", recipe, "--fp16"]
        command += ["--random-weights", "0", "--engine", kind, "--out", str(out)]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
            raise RuntimeError(lines[-1])
        return {"build_s": time.perf_counter() - started, **measured(str(out), kind)}


def _require_architecture(kind: Device) -> None:
    """TensorRT-RTX leaves the GPUs of data centres out."""
    capability = "SM{}{}".format(*open_device().compute_capability)
    known = import_module(MODULES[kind]).ComputeCapability if kind == "tensorrt-rtx" else None
    if known and not hasattr(known, capability):
        raise MissingError(f"TensorRT-RTX builds no engines for {capability}")


def provided() -> Figures:
    """The bundle that ships with the package, run by onnxruntime's CUDA provider."""
    require(*TO_RUN)
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise MissingError("onnxruntime-gpu is not installed")
    return measured(None, "cuda")


def measured(bundle: str | None, device: Device) -> Figures:
    """Descriptors against onnxruntime's on the CPU, and the time of a match of two images."""
    from geoaware.examples import PHOTOGRAPHS
    from geoaware.runtime import Pipeline
    from geoaware.runtime.engines import tensorrt
    from geoaware.runtime.images import load

    images = [load(path) for path in PHOTOGRAPHS]
    on_gpu, on_cpu = Pipeline.load(bundle, device), Pipeline.load(bundle, "cpu")
    figures = _compared(on_gpu, on_cpu, images[:2]) | _match_times(on_gpu, images, "match")
    if device in MODULES:
        with patch.object(tensorrt, "MOST_GRAPHS", 0):
            without = Pipeline.load(bundle, device)
            figures |= _match_times(without, images, "match_without_graphs")
    return figures | {"beside_torch": _beside_torch(on_gpu, images), "targets": [SAME]}


def _compared(ours: Pipeline, truth: Pipeline, images: list[Image.Image]) -> Figures:
    cosines = np.stack(
        [_cosines(*(each.extract(image) for each in (ours, truth))) for image in images]
    )
    return {"cosine_mean": float(cosines.mean()), "cosine_min": float(cosines.min())}


def _cosines(a: Any, b: Any) -> Any:
    return np.einsum("hwc,hwc->hw", a.descriptors, b.descriptors)


def _match_times(pipeline: Pipeline, images: list[Image.Image], name: str) -> Figures:
    """Matches of two images, each new to the pipeline as far as it knows."""
    taken = []
    for number in range(WARM_UP + MATCHES):
        a, b = (images[(number + step) % len(images)] for step in (0, 1))
        started = time.perf_counter()
        pipeline.match(a, b)
        taken.append((time.perf_counter() - started) * 1e6)
    return Times.of(taken[WARM_UP:]).figures(name)


def _beside_torch(pipeline: Pipeline, images: list[Image.Image]) -> str:
    """Whether a match is what it was once PyTorch works in the same process and context."""
    try:
        import torch
    except ImportError as error:
        return str(error)
    if not torch.cuda.is_available():
        return "this PyTorch has no CUDA"
    before = pipeline.match(*images[:2])
    ones = torch.ones(2**20, device="cuda")
    after = pipeline.match(*images[:2])
    if float(ones.sum()) != 2**20 or (after.target != before.target).any():
        raise RuntimeError("results change when PyTorch works in the same process")
    return "same matches"
