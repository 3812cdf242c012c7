"""The part of a report that tells what was run, on what, and with what."""

from __future__ import annotations

from typing import Any

from ..results import BundleRecord, DatasetRecord, MethodRecord, Results
from .document import Section, Table

PROBLEMS_SHOWN = 20


def section(results: Results) -> Section:
    """Everything it took to get the numbers."""
    tables = (_run(results), _bundles(results), _weights(results), _problems(results.dataset))
    return Section("The run", tables=tuple(table for table in tables if table.rows))


def _run(results: Results) -> Table:
    dataset, method, features = results.dataset, results.method, results.features
    rows = {
        "dataset": dataset.label,
        "selection": _listed(dataset.selection) or "all pairs",
        "pairs": f"{dataset.pairs:,}",
        "images": f"{dataset.images:,}",
        "keypoints": f"{dataset.keypoints:,}",
        "skipped pairs": f"{dataset.skipped:,}",
        "fingerprint": dataset.fingerprint,
        "bundles": results.bundle_names,
        "method": method.label,
        "ensemble grid": f"{method.ensemble_grid or ''}",
        "pose alignment": _pose_alignment(method),
        "device": features.device or "",
        "features": f"stored as {features.stored_as}; {features.extracted:,} extracted, "
        f"{features.from_store:,} from the store",
        "command": results.command,
        "date": results.date,
        "hardware": _listed(results.hardware),
        "versions": _listed(results.versions),
        "durations": _listed({name: f"{s:.1f} s" for name, s in results.durations_s.items()}),
    }
    known = tuple(row for row in rows.items() if row[1])
    return Table("Dataset, method and machine", ("", ""), known, words=2)


def _bundles(results: Results) -> Table:
    def row(bundle: BundleRecord) -> tuple[str, ...]:
        return (bundle.name, bundle.hash, bundle.precision, f"{bundle.weight:g}")

    columns = ("bundle", "hash", "precision", "weight")
    return Table("Bundles", columns, tuple(map(row, results.bundles)), words=3)


def _weights(results: Results) -> Table:
    rows = [
        (bundle.name, weights.part, weights.source, weights.revision or "", weights.licence)
        for bundle in results.bundles
        for weights in bundle.weights
    ]
    columns = ("bundle", "part", "source", "revision", "licence")
    return Table("Where the weights come from", columns, tuple(rows), words=5)


def _problems(dataset: DatasetRecord) -> Table:
    rows = [(problem,) for problem in dataset.problems[:PROBLEMS_SHOWN]]
    more = len(dataset.problems) - PROBLEMS_SHOWN
    if more > 0:
        rows.append((f"and {more} more, in results.json",))
    title = (
        f"Problems of the dataset, for which {dataset.skipped:,} pairs of the split were skipped"
    )
    return Table(title, ("problem",), tuple(rows), folded=True)


def _pose_alignment(method: MethodRecord) -> str:
    if method.pose_alignment is None:
        return "none"
    by = f" by {method.mask_bundle.name}" if method.mask_bundle else ""
    return (
        f"{method.pose_alignment}{by}; the mirrored source won in {method.mirrored_pairs:,} pairs"
    )


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in values.items())


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
