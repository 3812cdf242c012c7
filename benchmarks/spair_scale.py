"""An evaluation of SPair-71k's size: 1,800 images, 12,234 pairs, 768 channels on 60 x 60 cells.

Random images and random weights stand in for the real ones: the counts, the shapes, the time and
the memory are those of a real run from the store; PCK means nothing here. Runs `georun extract`
on all images, then `georun eval` on the test pairs (which show 481 of them) with 12 keypoints
each, in processes of their own. Takes about 10 GB of disk for the time. Writes
results/spair_scale.json.

    python -m benchmarks.spair_scale --layout DIR    (DIR/large/*.txt: the official pair lists)
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from geoaware.bench.programs import GEORUN, measured

from .record import save
from .synthetic import random_bundle, spair


def main() -> None:
    """Make the dataset, extract, evaluate, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layout", type=Path, required=True)
    layout = parser.parse_args().layout
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root, store, bundle = folder / "spair", folder / "store", folder / "random"
        spair(root, layout, keypoints=12)
        random_bundle(bundle, side=840, cells=60, channels=768)
        common = ["--bundle", str(bundle), "--store", str(store)]
        extract = run("extract", str(root / "JPEGImages"), *common)
        entries = [path.stat().st_size for path in store.glob("*/*/*/*.safetensors")]
        command = ["eval", "spair", "--root", str(root), *common, "--out", str(folder / "out")]
        evaluate = run(*command)
        found = json.loads((folder / "out" / "results.json").read_text("utf-8"))
    results = {
        "extract": extract | {"images": len(entries), "bytes_per_image": max(entries)},
        "eval": evaluate
        | {
            "pairs": found["dataset"]["pairs"],
            "images": found["dataset"]["images"],
            "keypoints": found["dataset"]["keypoints"],
            "extracted": found["features"]["extracted"],
            "stages_s": found["durations_s"],
        },
    }
    for name, figures in results.items():
        print(f"{name}: {figures}")
    recorded = "python -m benchmarks.spair_scale --layout DIR"
    print(save("spair_scale", recorded, ("geoaware", "onnxruntime", "numpy"), results))


def run(*arguments: str) -> dict[str, Any]:
    """Seconds from start to end and peak memory of one `georun` command."""
    [seconds], peak_mb = measured([GEORUN, *arguments], runs=1)
    return {"seconds": round(seconds, 1), "peak_mb": peak_mb}


if __name__ == "__main__":
    main()
