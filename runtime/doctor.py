"""What this installation has, what it lacks, and how to get it."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import requires
from typing import Any

from ..kernels.cuda.describe import describe
from .bundle import Bundle, home, installed, is_shipped
from .engines.openvino import load as load_openvino
from .errors import GeoAwareError, first_line
from .machine import version_of, versions


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
    bundles, shipped_holds = {}, False
    paths = list(installed())
    for path in paths:
        try:
            manifest = Bundle.open(path).verified().manifest
            bundles[str(path)] = f"ok, {manifest.precision}, hash {manifest.hash()}" + "".join(
                f"; {record.kind} engine for {record.gpu or record.compute_capability}"
                + ("" if record.parity else ", not proved")
                for record in manifest.engines
            )
            shipped_holds |= is_shipped(path)
        except GeoAwareError as error:
            bundles[str(path)] = str(error)
    if all(is_shipped(path) for path in paths):
        bundles[str(home())] = "nothing built yet; geoexport build RECIPE"
    devices = _devices()
    healthy = shipped_holds and devices["cpu"].startswith("ok")
    return Findings(_versions(), devices, bundles, _extras(), healthy)


def missing(extra: str) -> list[str]:
    """The packages of an extra that are not installed; of the base where it is empty."""
    return [name for name in _required(extra) if not version_of(name)]


def install_command(extra: str) -> str:
    """How to get the packages of an extra."""
    return f'pip install "geoaware[{extra}]"'


def require(extra: str, purpose: str, advised: str | None = None) -> None:
    """Raise GeoAwareError where packages of an extra are missing.

    purpose: what needs them, as the message begins. advised: the extras to install, where more
    than this one.
    """
    if names := missing(extra):
        command = install_command(advised or extra)
        raise GeoAwareError(f"{purpose} needs {', '.join(names)}: {command}")


def _versions() -> dict[str, str]:
    found = versions(("geoaware", *_required("")))
    return {"python": found["python"], "platform": platform.platform()} | found


def _devices() -> dict[str, str]:
    try:
        import onnxruntime
    except ImportError as error:
        cpu, providers = f"onnxruntime cannot be imported: {first_line(error)}", "none"
    else:
        cpu, providers = "ok, by onnxruntime", ", ".join(onnxruntime.get_available_providers())
    cuda = {f"CUDA {part.name}": part.found or part.missing for part in describe()}
    if cuda["CUDA GPU"] == cuda["CUDA driver"]:
        cuda["CUDA GPU"] = "none without the driver"
    kinds = ("openvino", "tensorrt", "tensorrt-rtx")
    engines = {kind: version_of(kind) or f"missing: {install_command(kind)}" for kind in kinds}
    if version_of("openvino"):
        engines["openvino"] = _openvino()
    return {"cpu": cpu, "onnxruntime providers": providers, **cuda, **engines}


def _openvino() -> str:
    """Its version, or why it cannot be used."""
    try:
        return str(load_openvino().__version__)
    except GeoAwareError as error:
        return str(error)


def _extras() -> dict[str, str]:
    return {
        extra: f"missing {', '.join(names)}: {install_command(extra)}" if names else "ok"
        for extra in ("eval", "export", "train", "embedded", "openvino", "cuda")
        for names in [missing(extra)]
    }


def _required(extra: str) -> list[str]:
    """The packages that an extra of geoaware asks for, or the base where it is empty."""
    names = []
    for line in requires("geoaware") or ():
        requirement, _, marker = line.partition(";")
        asked_by = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
        if (asked_by[1] if asked_by else "") == extra:
            names += re.findall(r"^[\w.-]+", requirement)
    return names
