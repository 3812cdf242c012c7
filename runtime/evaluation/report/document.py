"""What a report says, whatever it is written as: sections of text, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Table:
    """Rows of text under a header.

    words: how many of the first columns hold words; the others hold numbers.
    folded: whether a page shows it only when asked to.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    folded: bool = False

    def only(self, columns: Sequence[str]) -> Table:
        """The same with these of its columns only."""
        places = [self.columns.index(name) for name in columns]
        rows = tuple(tuple(row[place] for place in places) for row in self.rows)
        return replace(self, columns=tuple(columns), rows=rows)


@dataclass(frozen=True)
class Figure:
    """A picture as data URIs, one for light and one for dark pages where they differ."""

    caption: str
    light: str
    dark: str | None = None


@dataclass(frozen=True)
class Section:
    """A part of a report under its own heading."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Document:
    """A report: what it comes to in `summary`, then its sections."""

    title: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
