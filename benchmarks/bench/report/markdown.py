"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """A table whose first `words` columns hold words, the others numbers."""
    rules = [":--" if column < words else "--:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in (header, rules, *rows))


def listed(lines: Iterable[str]) -> str:
    """A list of lines."""
    return "\n".join(f"- {_cell(line)}" for line in lines)


def joined(*blocks: str) -> str:
    """Blocks that are not empty, a blank line between them."""
    return "\n\n".join(block for block in blocks if block)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
