"""A report as Markdown; figures are left out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .document import Document, Section, Table

# What would mark up a name that comes from a user's file.
_MARKUP = re.compile(r"[\\`*\[\]|]|<(?=[a-zA-Z/!?])|&(?=[#\w])|(?<!\w)_|_(?!\w)")


def render(document: Document) -> str:
    """The text of a report.md."""
    blocks = [f"# {_plain(document.title)}", *map(_plain, document.summary)]
    for section in document.sections:
        blocks += _section(section)
    return "\n\n".join(blocks) + "\n"


def _section(section: Section) -> Iterator[str]:
    if section.figures and not section.tables:
        return
    yield f"## {_plain(section.title)}"
    yield from map(_plain, section.text)
    for table in section.tables:
        yield f"### {_plain(table.title)}"
        yield _table(table)


def _table(table: Table) -> str:
    rules = [":--" if column < table.words else "--:" for column in range(len(table.columns))]
    rows = [map(_plain, table.columns), rules, *(map(_plain, row) for row in table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _plain(text: str) -> str:
    """Text on one line that Markdown shows as it is."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))
