"""The bundles that are measured: the shipped one, and others built once and kept."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from geoaware.kernels.home import home
from geoaware.runtime import Bundle, GeoAwareError
from geoaware.runtime.errors import InputError
from geoaware.runtime.files import replacing

from .settings import Watch

SEED = 0  # of random weights, where trained ones are not at hand


def bundle(recipe: str, precision: str, frame: int | None, watch: Watch) -> Bundle:
    """A recipe's bundle: `lite` in fp32 as it ships, any other built once by `geoexport build`.

    Those built are kept in `home()/bench` until the exporter changes. They have trained weights
    where these were at hand when they were built, and random ones otherwise: the time is the same.

    precision: "fp32", "fp16" or "int8". frame: side in pixels; None is the recipe's own.

    Raises InputError for a recipe that is not known, GeoAwareError where the build fails.
    """
    shipped = Bundle.open()
    own = shipped.manifest.recipe
    sides = (None, own.frame.side)
    if (recipe, precision) == (own.name, shipped.manifest.precision) and frame in sides:
        return shipped
    name = recipe + (f"-{frame}px" if frame else "")
    name += "" if precision == "fp32" else f"-{precision}"
    folder = home() / "bench" / name
    stamp = folder.with_name(f"{name}.exporter")
    if not _is_built(folder, stamp):
        random = [] if _weights_at_hand(recipe) else ["--random-weights", str(SEED)]
        watch.note(f"building {name}, once")
        words = [recipe, "--precision", precision, "--out", str(folder), "--force"]
        words += ["--frame", str(frame)] if frame else []
        _geoexport("build", *words, *random)
        with replacing(stamp) as file:
            file.write(_exporter().encode())
    return Bundle.open(folder)


def _is_built(folder: Path, stamp: Path) -> bool:
    try:
        Bundle.open(folder)
        return stamp.read_text("utf-8") == _exporter()
    except (OSError, GeoAwareError):
        return False


@cache
def _exporter() -> str:
    """A hash of the exporter's sources and recipes: what it builds may change with them."""
    spec = find_spec("geoaware.export")
    digest = hashlib.sha256()
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _weights_at_hand(recipe: str) -> bool:
    listed = json.loads(_geoexport("list", "--json"))["recipes"]
    weights = {row["recipe"]: row["weights"] for row in listed}
    if recipe not in weights:
        raise InputError(f"no recipe {recipe!r}; shipped: {', '.join(weights)}")
    return bool(weights[recipe] == "at hand")


def _geoexport(*words: str) -> str:
    """What `geoexport` prints, run in a process of its own: its memory is gone with it."""
    command = [sys.executable, "-m", "geoaware.export", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        kind = InputError if done.returncode == InputError.exit_code else GeoAwareError
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise kind(f"geoexport {' '.join(words)}: {lines[-1].removeprefix('geoexport: error: ')}")
    return done.stdout
