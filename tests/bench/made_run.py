"""A run of benchmarks with made figures, for what reads such runs."""

from __future__ import annotations

from collections.abc import Iterator

from geoaware.bench.rows import OURS, Row, Run, Spread, Suite

HARDWARE = {"cpu": "Made CPU 9", "cores": 2, "machine": "x86_64", "gpu": None}
REASON = "compiled at batch 1 only"
Case = dict[str, str | int]


def made_run(date: str = "2026-11-22T10:00:00+00:00", **changes: object) -> Run:
    """All suites, features of two recipes among them."""
    run = Run(
        command="georun bench",
        date=date,
        commit="0123456-dirty",
        hardware=HARDWARE,
        versions={"python": "3.11", "numpy": "2.4"},
        threads=2,
        rows=(*_features(), *_matching(), *_match(), *_evaluation(), *_work(), *_machine()),
    )
    return run.model_copy(update=changes)


def row(suite: Suite, case: Case, contender: str, median: float, unit: str = "ms") -> Row:
    """A row whose middle figures lie within 5 % of the median."""
    spread = Spread(
        median=median, p10=median * 0.95, p90=median * 1.05, p95=median * 1.1, p99=median * 1.2,
        count=20,
    )  # fmt: skip
    difference = None if contender == OURS else 1e-6
    floor = median / 3 if contender == OURS and suite in ("features", "matching", "work") else None
    return Row(
        suite=suite, case=case, contender=contender, unit=unit, spread=spread,
        difference=difference, floor=floor,
    )  # fmt: skip


def _features() -> Iterator[Row]:
    for recipe, frame, ours in (("lite", 512, 40.0), ("dinov2-s", 518, 500.0)):
        for precision, times in (("fp32", 1.0), ("int8", 0.6)):
            for batch, source in ((1, "file"), (1, "tensor"), (4, "tensor")):
                case: Case = {
                    "recipe": recipe,
                    "weights": "trained" if recipe == "lite" else "random",
                    "precision": precision,
                    "frame": frame,
                    "batch": batch,
                    "from": source,
                }
                time = ours * batch * times + (5 if source == "file" else 0)
                yield row("features", case, OURS, time)
                yield row("features", case, "onnxruntime", 1.3 * time)
                yield row("features", case, "OpenVINO", 1.02 * time)
                if precision == "fp32":
                    yield row("features", case, "PyTorch eager", 2.4 * time)
                    yield from _compiled(case, 1.9 * time)


def _compiled(case: Case, time: float) -> Iterator[Row]:
    if case["batch"] == 1:
        yield row("features", case, "PyTorch compiled", time)
    else:
        yield Row(
            suite="features", case=case, contender="PyTorch compiled", unit="ms", missing=REASON
        )


def _matching() -> Iterator[Row]:
    for points in (1, 12, 64, "all"):
        for grid in (32, 37, 60):
            for channels in (256, 768, 3968):
                case: Case = {"points": points, "grid": grid, "channels": channels}
                count = grid * grid if points == "all" else int(points)
                cells = grid * grid * channels / 1e6
                time = 0.05 + 0.1 * cells + 0.02 * cells * count
                yield row("matching", case, OURS, time)
                eager = time * 1.8 + 2 * cells
                yield row("matching", case, "PyTorch eager", eager)
                yield row("matching", case, "PyTorch eager, unit inputs", time * 1.2 + 0.3 * cells)
                if channels == 768 and points in (12, "all"):
                    yield row("matching", case, "PyTorch compiled", eager * 0.7)
                if points == 12:
                    yield row("matching", case, "system A, all cells", 30 * eager)
                if points in (12, 64):
                    yield row("matching", case, "system B, point by point", 5 * eager)


def _match() -> Iterator[Row]:
    case: Case = {"recipe": "lite", "precision": "fp32", "what": "cold"}
    for contender, time, memory in ((OURS, 640, 200), ("minimal PyTorch script", 2900, 480)):
        yield row("match", case, contender, time)
        yield row("match", case, contender, memory, "MB")
    warm = {**case, "what": "warm"}
    for contender, time in ((OURS, 79), ("PyTorch eager", 294), ("OpenVINO", 84)):
        yield row("match", warm, contender, time)
    for contender, time in ((OURS, 4000), ("minimal PyTorch script", 14000)):
        yield row("match", {**case, "what": "one against 100"}, contender, time)


def _evaluation() -> Iterator[Row]:
    case: Case = {"recipe": "lite", "what": "extraction"}
    yield row("evaluation", case, OURS, 20, "images/s")
    yield row("evaluation", {**case, "what": "an image on disk"}, OURS, 700_000, "bytes")
    yield row("evaluation", {**case, "what": "pairs"}, OURS, 900, "pairs/s")
    yield row("evaluation", {**case, "what": "pairs"}, "PyTorch loop, keypoints", 150, "pairs/s")


def _work() -> Iterator[Row]:
    sizes = {
        "frame side": ((256, 384, 512, 640, 768), 2.0),
        "grid": ((16, 24, 32, 48, 64, 96), 2.0),
        "keypoints": ((1, 4, 16, 64, 256, 1024), 0.9),
        "batch": ((1, 2, 4, 8), 1.0),
        "pairs": ((1, 4, 16, 64), 1.0),
    }
    for kind, (amounts, exponent) in sizes.items():
        for at in amounts:
            yield row("work", {"what": kind, "at": at}, OURS, 0.01 * at**exponent)


def _machine() -> Iterator[Row]:
    yield row("machine", {"what": "product, fp32"}, "numpy", 120, "GFLOP/s")
    yield row("machine", {"what": "copy"}, "numpy", 11, "GB/s")
