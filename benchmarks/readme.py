"""The documents' tables, made from the committed result files: `python -m benchmarks.readme`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from geoaware.bench import report
from geoaware.bench.report.latest import Latest
from geoaware.bench.rows import files
from geoaware.export import recipe_files
from geoaware.export.parts import part_names
from geoaware.export.registry import known
from geoaware.runtime.errors import GeoAwareError
from geoaware.train.configuration import keys
from geoaware.train.finetuning.settings import FinetuneSettings
from geoaware.train.settings import HeadSettings

from .record import RESULTS


def accuracy_table() -> str:
    """PCK of `lite` and of plainer ways to use its network."""
    content = _results("lite_accuracy")["pck"]
    datasets = list(next(iter(content.values())))
    lines = [f"| | {' | '.join(datasets)} |", "|---" * (len(datasets) + 1) + "|"]
    for name, by_dataset in content.items():
        cells = (" / ".join(f"{v:.1f}" for v in scores.values()) for scores in by_dataset.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def speed_table() -> str:
    """The speed that a user asks for first, beside the fastest rivals."""
    return report.summary_table(_benchmarks(RESULTS))


def performance_tables() -> dict[str, str]:
    """Every table of the newest benchmarks, by its title."""
    return report.tables(_benchmarks(RESULTS))


def half_table() -> str:
    """Features in half precision on a CPU, from a run of its own."""
    return report.tables(_benchmarks(RESULTS / "half"))["Features"]


def protocol_table() -> str:
    """PF-Willow by every protocol, from the same predictions."""
    path = RESULTS / "pf_willow_lite" / "results.json"
    protocols = json.loads(path.read_text("utf-8"))["protocols"]
    alphas = sorted({alpha for each in protocols.values() for alpha in each["spread"]})
    lines = [f"| protocol | {' | '.join(f'@{alpha}' for alpha in alphas)} |"]
    lines.append("|---" * (len(alphas) + 1) + "|")
    for name, each in protocols.items():
        cells = (
            f"{spread['mean']:.1f} ({spread['low']:.1f} to {spread['high']:.1f})" if spread else ""
            for spread in map(each["spread"].get, alphas)
        )
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def store_table() -> str:
    """What storing features in half or a quarter of their size costs."""
    content = _results("store_cost")
    kinds = list(next(iter(content.values())))
    lines = [f"| | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    for dataset, by_kind in content.items():
        cells = (" / ".join(f"{v:.1f}" for v in each["pck"].values()) for each in by_kind.values())
        lines.append(f"| {dataset} | {' | '.join(cells)} |")
    return "\n".join(lines)


def scale_table() -> str:
    """An evaluation of SPair-71k's size."""
    content = _results("spair_scale")
    extract, evaluate = content["extract"], content["eval"]
    rows = {
        f"`georun extract`, {extract['images']:,} images": extract,
        f"`georun eval` from the store, {evaluate['pairs']:,} pairs with 12 keypoints": evaluate,
    }
    lines = ["| | time | peak memory |", "|---|---|---|"]
    for name, figures in rows.items():
        lines.append(f"| {name} | {figures['seconds']:.0f} s | {figures['peak_mb']} MB |")
    return "\n".join(lines)


def backbones_table() -> str:
    """Every recipe: size, cost and parity; several figures are of fp32, fp16 and int8."""
    lines = [
        "| recipe | million weights | bundle, MB | build | peak | an image | peak | relative error "
        "of fp32 | least cosine of fp16, int8 | licences |",
        "|---" * 10 + "|",
    ]
    measured = _results("backbones")
    for recipe in sorted(measured, key=lambda name: measured[name]["fp32"]["million_parameters"]):
        rows = measured[recipe]
        plain = rows["fp32"]
        cells = (
            f"`{recipe}`",
            f"{plain['million_parameters']:,.1f}",
            _each(rows, lambda row: f"{row['bundle_mb']:,}"),
            f"{plain['build_s']:.0f} s",
            f"{plain['build_mb'] / 1000:.1f} GB",
            _each(rows, lambda row: f"{row['extract_ms'] / 1000:.2f}") + " s",
            f"{plain['extract_mb'] / 1000:.1f} GB",
            f"{plain['parity']['relative_error']:.1e}",
            _each(
                {name: row for name, row in rows.items() if name != "fp32"},
                lambda row: f"{row['parity']['cosine_min']:.4f}",
            ),
            "; ".join(dict.fromkeys(_licences(recipe))),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _each(rows: dict[str, Any], text: Callable[[Any], str]) -> str:
    """A figure in every precision that was measured."""
    return " / ".join(
        text(rows[name]) if "parity" in rows[name] else "refused"
        for name in ("fp32", "fp16", "int8")
        if name in rows
    )


def _licences(recipe: str) -> list[str]:
    return [known(part).licence for part in part_names(recipe_files.load(recipe))]


def precision_table() -> str:
    """What lower precisions cost, with trained weights."""
    lines = [
        "| | PCK at 0.05 / 0.10 / 0.20 | MB | cosine, least and mean | matches that agree |",
        "|---|---|---|---|---|",
    ]
    for network, rows in _results("precision_cost").items():
        for precision, row in rows.items():
            cells = (
                f"{network}, {precision}",
                " / ".join(f"{value:.1f}" for value in row["pck"].values()),
                f"{row['bundle_mb']:.1f}",
                f"{row['parity']['cosine_min']:.4f}, {row['parity']['cosine_mean']:.4f}",
                f"{row['parity']['match_agreement']:.1%}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def trained_table() -> str:
    """`lite` before and after training its head, on sets that training never saw."""
    return _trained_sets("PCK@0.10", lambda figures: _trained(figures, "0.10"))


def trained_alphas_table() -> str:
    """The same at every alpha, without intervals."""
    return _trained_sets(
        "PCK@0.05 / 0.10 / 0.20",
        lambda figures: " / ".join(f"{each['mean']:.1f}" for each in figures["pck"].values()),
    )


def _trained_sets(corner: str, cell: Callable[[dict[str, Any]], str]) -> str:
    """A row for every bundle of the demonstration, a column for every set of keypoints."""
    content = _results("train_demo")["pck"]
    sets = [(title, name) for title, found in content["lite"].items() for name in found]
    titles = (title + ("" if name == "all" else f", {name}") for title, name in sets)
    lines = [f"| {corner} | {' | '.join(titles)} |", "|---" * (len(sets) + 1) + "|"]
    for row, by_set in content.items():
        lines.append(f"| {row} | {' | '.join(cell(by_set[title][name]) for title, name in sets)} |")
    return "\n".join(lines)


def _trained(figures: dict[str, Any], alpha: str) -> str:
    found = figures["pck"][alpha]
    text = f"{found['mean']:.1f} ({found['low']:.1f} to {found['high']:.1f})"
    if "gain" in figures:
        gain = figures["gain"][alpha]
        text += f"; {gain['mean']:+.1f} ({gain['low']:+.1f} to {gain['high']:+.1f})"
    return text


def ablation_table() -> str:
    """What each part of the training is worth."""
    rows = _results("train_ablations")["rows"]
    sets = [name for name in rows["the base"] if isinstance(rows["the base"][name], dict)]
    lines = [f"| PCK@0.10 | {' | '.join(sets)} |", "|---" * (len(sets) + 1) + "|"]
    for row, found in rows.items():
        cells = (f"{found[name]['mean']:.1f}" for name in sets)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def settings_table(schema: type[BaseModel]) -> str:
    """Every key that a run of training can be told."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    lines += [f"| `{key}` | {default} | {meaning} |" for key, default, meaning in keys(schema)]
    return "\n".join(lines)


def _benchmarks(folder: Path) -> Latest:
    """What `georun bench` measured last, of the result files that are kept in a folder."""
    found = report.machines(files(folder))
    if not found:
        raise GeoAwareError(f"{folder}: no results of benchmarks; `georun bench` measures them")
    return max(found, key=lambda machine: machine.newest.date)


def _results(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["results"]


if __name__ == "__main__":
    tables = (
        *(accuracy_table, speed_table, protocol_table, store_table, scale_table),
        *(backbones_table, precision_table, trained_table, trained_alphas_table, ablation_table),
    )
    print(*(table() for table in tables), sep="\n\n")
    print(*performance_tables().values(), half_table(), sep="\n\n")
    print(*map(settings_table, (HeadSettings, FinetuneSettings)), sep="\n\n")
