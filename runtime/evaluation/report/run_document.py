"""The report of one run."""

from __future__ import annotations

from collections.abc import Sequence

from ..outcome import Outcome
from ..results import ProtocolResult, Results, key
from . import pictures, plots, run_facts, tables
from .document import Document, Figure, Section


def document(results: Results, outcomes: Sequence[Outcome]) -> Document:
    """What ran, then per protocol its tables; with plots and pictures of the first protocol."""
    protocols = list(results.protocols.values())
    first = protocols[0]
    figures = (
        plots.curves(results.protocols, outcomes),
        plots.category_bars(first),
        plots.error_histogram(first, outcomes),
    )
    sections = [_protocol(each, figures if each is first else ()) for each in protocols]
    drawn = pictures.section(first.name, tables.middle(first.alphas), outcomes)
    return Document(
        f"{results.dataset.label}: {results.bundle_names}",
        (*map(_headline, protocols), *tables.READING),
        (run_facts.section(results), *sections, drawn),
    )


def _headline(result: ProtocolResult) -> str:
    alpha = key(tables.middle(result.alphas))
    spread = result.spread[alpha]
    return (
        f"PCK@{alpha}, protocol {result.name} ({result.formula}): "
        f"{result.overall.per_image[alpha]:.1f} % per image "
        f"(95 % interval {spread.low:.1f} – {spread.high:.1f}), "
        f"{result.overall.per_keypoint[alpha]:.1f} % per keypoint, {result.overall.pairs:,} pairs."
    )


def _protocol(result: ProtocolResult, figures: tuple[Figure, ...]) -> Section:
    text = (f"Correct: {result.formula}. Used by: {result.used_by}.",)
    return Section(f"Protocol {result.name}", text, tuple(tables.of_protocol(result)), figures)
