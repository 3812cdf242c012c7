"""A manifest as a table."""

from __future__ import annotations

from ...runtime.cli.console import print_facts
from ...runtime.manifest import Manifest, Parity


def print_manifest(manifest: Manifest) -> None:
    """Print what a bundle is made of on stdout."""
    print_facts(f"{manifest.name}: {manifest.recipe.summary}", _facts(manifest))


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    recipe = manifest.recipe
    rows = [
        ("hash", manifest.hash()),
        ("frame", f"{recipe.frame.mode} to {recipe.frame.side} px, {recipe.frame.resample}"),
        ("grid", f"{recipe.grid} x {recipe.grid} cells"),
        ("matching", ", ".join(map(str, recipe.matching.model_dump(exclude_none=True).values()))),
    ]
    for model in manifest.models:
        size = sum(file.bytes for file in model.files) / 1e6
        rows.append(
            (
                model.files[0].name,
                f"{size:.1f} MB, computes in {model.precision}, stored as {model.stored_as}, "
                f"opset {model.opset}",
            )
        )
    for record in manifest.weights:
        origin = record.source + (f" @ {record.revision}" if record.revision else "")
        rows.append((record.part, f"{origin}, {record.licence}, sha256 {record.sha256[:16]}…"))
    versions = ", ".join(f"{name} {number}" for name, number in manifest.built.versions.items())
    return [
        *rows,
        ("parity", describe(manifest.parity)),
        ("built", manifest.built.date),
        ("with", versions),
    ]


def describe(parity: Parity) -> str:
    """Parity figures in words."""
    return (
        f"cosine min {parity.cosine_min:.6f}, mean {parity.cosine_mean:.6f}; "
        f"relative error {parity.relative_error:.1e}, max abs error {parity.max_abs_error:.1e}; "
        f"{parity.match_agreement:.1%} of matches agree, {parity.near_agreement:.1%} to a cell, "
        f"on {parity.images} photographs"
    )
