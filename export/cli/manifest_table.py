"""A manifest as a table."""

from __future__ import annotations

from collections import Counter

from ...runtime.cli.console import print_facts
from ...runtime.manifest import EngineOptions, EngineRecord, Manifest, Model, Parity


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
    rows += [_model(model) for model in manifest.models]
    if manifest.masks:
        name, facts = _model(manifest.masks.model)
        rows.append((name, f"{facts}; relative error {manifest.masks.relative_error:.1e}"))
    for record in manifest.weights:
        origin = record.source + (f" @ {record.revision}" if record.revision else "")
        digest = f"sha256 {record.sha256[:16]}…" if record.sha256 else "no trained weights"
        rows.append((record.part, f"{origin}, licence: {record.licence}, {digest}"))
    versions = ", ".join(f"{name} {number}" for name, number in manifest.built.versions.items())
    return [
        *rows,
        ("parity", describe(manifest.parity)),
        *([("in bfloat16", describe(manifest.bfloat16))] if manifest.bfloat16 else []),
        *[_engine(record) for record in manifest.engines],
        ("built", manifest.built.date),
        ("with", versions),
    ]


def _model(model: Model) -> tuple[str, str]:
    size = sum(file.bytes for file in model.files) / 1e6
    shares = ", ".join(f"{share:.0%} {name}" for name, share in model.compute.items())
    return (
        model.files[0].name,
        f"{size:.1f} MB, computes in {model.precision} ({shares or 'no products'}), "
        f"stored as {model.stored_as}, opset {model.opset}",
    )


def _engine(record: EngineRecord) -> tuple[str, str]:
    size = sum(plan.file.bytes for plan in record.plans) / 1e6
    layers = Counter[str]()
    for plan in record.plans:
        layers.update(plan.layers or {})
    facts = [
        f"for {record.gpu or 'any GPU'} ({record.compute_capability}), {size:.1f} MB",
        f"{record.precision}, batches of {', '.join(map(str, record.batches))}",
        *_options(record.options),
        *(["layers: " + ", ".join(f"{n} {name}" for name, n in layers.items())] if layers else []),
        describe(record.parity) if record.parity else "unproved (geoexport prove)",
    ]
    return f"{record.kind} {record.version}", "; ".join(facts)


def _options(options: EngineOptions) -> list[str]:
    """What the builder was asked for, where it was asked for anything."""
    return [
        name.replace("_", " ") + ("" if value is True else f" {value:g}")
        for name, value in options.model_dump(exclude_defaults=True).items()
    ]


def describe(parity: Parity) -> str:
    """Parity figures in words."""
    return (
        f"cosine min {parity.cosine_min:.6f}, mean {parity.cosine_mean:.6f}; "
        f"relative error {parity.relative_error:.1e}, max abs error {parity.max_abs_error:.1e}; "
        f"{parity.match_agreement:.1%} of matches agree, {parity.near_agreement:.1%} to a cell, "
        f"on {parity.images} photographs"
    )
