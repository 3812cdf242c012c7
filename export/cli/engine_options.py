"""The options of `geoexport build` that ask for engines."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ...runtime.cli.options import together

if TYPE_CHECKING:
    from ...runtime.manifest import EngineKind
    from ..request import EngineRequest

engine_options: Callable[[Callable[..., Any]], Callable[..., Any]] = together(
    click.option("--tensorrt", is_flag=True, help="Short for --engine tensorrt."),
    click.option(
        "--engine",
        "kind",
        type=click.Choice(["tensorrt", "tensorrt-rtx"]),
        help="Build engines too, for the GPU of this machine.",
    ),
    click.option(
        "--for",
        "architecture",
        metavar="ARCH",
        help="Build tensorrt-rtx engines for sm_89, say, without a GPU; to be proved on one.",
    ),
    click.option("--batch", metavar="N,…", help="Batch sizes of the engines (1)."),
    click.option(
        "--workspace",
        type=click.FloatRange(0, min_open=True),
        metavar="GB",
        help="The most GPU memory a layer of an engine may take for itself.",
    ),
    click.option(
        "--optimisation-level",
        type=click.IntRange(0, 5),
        help="How long to look for fast kernels (TensorRT's own: 3).",
    ),
    click.option(
        "--version-compatible", is_flag=True, help="Engines for later versions of TensorRT too."
    ),
    click.option(
        "--hardware-compatible",
        is_flag=True,
        help="Engines for all GPUs of compute capability 8.0 and later.",
    ),
)


def engine_request(
    tensorrt: bool,
    kind: EngineKind | None,
    architecture: str | None,
    batch: str | None,
    workspace: float | None,
    optimisation_level: int | None,
    version_compatible: bool,
    hardware_compatible: bool,
) -> EngineRequest | None:
    """What the options ask for; None where no engine is asked for."""
    from ...runtime.manifest import EngineOptions
    from ..request import EngineRequest

    if tensorrt and kind == "tensorrt-rtx":
        raise click.UsageError("--tensorrt and --engine tensorrt-rtx exclude each other")
    options = EngineOptions(
        workspace_gb=workspace,
        optimisation_level=optimisation_level,
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
    )
    if not tensorrt and kind is None:
        if architecture or batch or options != EngineOptions():
            raise click.UsageError("options of engines go with --tensorrt or --engine KIND")
        return None
    return EngineRequest(
        kind or "tensorrt", _batches(batch or "1"), options, _compute_capability(architecture)
    )


def _batches(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(re.fullmatch(r"\s*[1-9]\d{0,3}\s*", number) for number in numbers):
        raise click.UsageError(f"--batch {text!r}: write batch sizes such as 1,8")
    return tuple(sorted({int(number) for number in numbers}))


def _compute_capability(architecture: str | None) -> str | None:
    """8.9 for sm_89."""
    if architecture is None:
        return None
    found = re.fullmatch(r"sm_(\d+)(\d)", architecture)
    if not found:
        raise click.UsageError(f"--for {architecture!r}: write an architecture such as sm_89")
    return f"{found[1]}.{found[2]}"
