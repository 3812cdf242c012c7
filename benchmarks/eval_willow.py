"""PF-Willow, all 900 pairs, with the bundle that ships: the same numbers as the committed ones?

Runs `georun eval` into build/eval-willow and compares with results/pf_willow_lite/results.json;
fails where a number differs. `--save` commits the new ones instead.

    GEOAWARE_DATA=DIR python -m benchmarks.eval_willow
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from geoaware.bench.programs import GEORUN

from .record import RESULTS

COMMITTED = RESULTS / "pf_willow_lite" / "results.json"
OUT = Path("build/eval-willow")
COMMAND = ("eval", "pf-willow", "--protocol", "all", "--out", str(OUT))


def main() -> None:
    """Run, compare or save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true")
    save = parser.parse_args().save
    started = time.perf_counter()
    subprocess.run([GEORUN, *COMMAND], check=True)
    print(f"{time.perf_counter() - started:.1f} s")
    if save:
        COMMITTED.parent.mkdir(exist_ok=True)
        shutil.copy(OUT / "results.json", COMMITTED)
        return
    differences = compare(numbers(COMMITTED), numbers(OUT / "results.json"))
    if differences:
        raise SystemExit("\n".join([f"not the numbers of {COMMITTED}:", *differences]))
    print(f"the numbers of {COMMITTED}")


def numbers(path: Path) -> dict[str, Any]:
    """What a run's numbers are, and what they depend on."""
    content = json.loads(path.read_text("utf-8"))
    return {
        "fingerprint": content["dataset"]["fingerprint"],
        "bundle": content["bundles"][0]["hash"],
        "matching": content["method"]["matching"],
        "protocols": content["protocols"],
    }


def compare(expected: Any, found: Any, where: str = "") -> list[str]:
    """The places where two nested results differ, with both values."""
    if isinstance(expected, dict) and isinstance(found, dict):
        names = sorted(expected.keys() | found.keys())
        pairs = [(expected.get(name), found.get(name), f"{where}/{name}") for name in names]
        return [line for each in pairs for line in compare(*each)]
    return [] if expected == found else [f"{where}: {expected}, now {found}"]


if __name__ == "__main__":
    main()
