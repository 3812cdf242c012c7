"""The README's tables, made from the committed result files: `python -m benchmarks.readme`."""

from __future__ import annotations

import json
from typing import Any

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
    """Programs, and a warm match beside its rivals."""
    content = _results("lite_speed")
    lines = ["| process, from start to end | time | peak memory |", "|---|---|---|"]
    for name, figures in content["programs"].items():
        lines.append(f"| `{name}` | {figures['wall_s']:.2f} s | {figures['peak_mb']} MB |")
    lines += [
        "",
        "| warm match of two new images, fp32 | median (10th to 90th percentile) | times ours |",
        "|---|---|---|",
    ]
    for name, figures in content["warm_match"].items():
        spread = (
            f"{figures['median_ms']:.0f} ms ({figures['p10_ms']:.0f} to {figures['p90_ms']:.0f})"
        )
        lines.append(f"| {name} | {spread} | {figures['times_ours']:.2f} |")
    return "\n".join(lines)


def _results(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["results"]


if __name__ == "__main__":
    print(accuracy_table(), speed_table(), sep="\n\n")
