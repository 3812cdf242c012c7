"""What the feature store costs: PCK and bytes an image, in float32, float16 and int8.

The bundle that ships, its own way to match; PF-Willow by protocol `image`, SPair-71k-mini by
protocol `box`, per image. Writes results/store_cost.json.

    GEOAWARE_DATA=DIR python -m benchmarks.store_cost
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from geoaware.bench.programs import GEORUN
from geoaware.runtime.evaluation.protocols import PROTOCOLS

from .lite_accuracy import score, shipped
from .pairs import data_folder, pf_willow, spair_mini
from .record import save

DATASETS = {
    "PF-Willow": ("pf-willow", "PF-WILLOW", "image", pf_willow),
    "SPair-71k-mini": ("spair", "SPair-71k-mini", "box", spair_mini),
}


def main() -> None:
    """Measure both sets."""
    folder = data_folder()
    results: dict[str, Any] = {}
    for title, (name, root, protocol, read) in DATASETS.items():
        plain = score(shipped(None), read(folder), PROTOCOLS[protocol])
        results[title] = {"float32": {"pck": plain}}
        for kind in ("float16", "int8"):
            results[title][kind] = stored(name, folder / root, protocol, kind)
    print(json.dumps(results, indent=2))
    packages = ("geoaware", "onnxruntime", "numpy", "pillow")
    print(save("store_cost", "python -m benchmarks.store_cost", packages, results))


def stored(
    name: str, root: Path, protocol: str, kind: str, bundle: Path | None = None
) -> dict[str, Any]:
    """PCK from stored features of a bundle (the one that ships), and the size of an entry."""
    with tempfile.TemporaryDirectory() as store:
        command = [GEORUN, "eval", name, "--root", root, "--protocol", protocol, "--store", store]
        int8 = ["--int8"] if kind == "int8" else []
        command += ["--bundle", bundle] if bundle else []
        done = subprocess.run([*command, *int8, "--json"], capture_output=True, check=True)
        sizes = [path.stat().st_size for path in Path(store).rglob("*.safetensors")]
    overall = json.loads(done.stdout)["protocols"][protocol]["overall"]
    pck = {alpha: round(value, 2) for alpha, value in overall["per_image"].items()}
    return {"pck": pck, "bytes_per_image": max(sizes)}


if __name__ == "__main__":
    main()
