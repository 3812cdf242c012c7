"""The points a user asks for: typed, from a file, or a grid."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from ...errors import InputError, first_line
from ...geometry import Points, grid_points
from ...pipeline import DEFAULT_GRID


def read_points(text: str | None, file: str | None, grid: int | None) -> list[Any] | int:
    """The points asked for, or N for an N x N grid; the image is not known yet.

    Raises InputError for more than one way of asking, or points that cannot be read.
    """
    if sum(given is not None for given in (text, file, grid)) > 1:
        raise InputError("give one of --points, --points-file and --grid")
    if text is not None:
        return _parse(text)
    if file is not None:
        return _read(Path(file))
    return grid or DEFAULT_GRID


def on_image(asked: list[Any] | int, width: int, height: int) -> list[Any] | Points:
    """The points themselves, once the image's size is known."""
    return grid_points(width, height, asked) if isinstance(asked, int) else asked


def _parse(text: str) -> list[Any]:
    points = []
    for word in text.split():
        try:
            x, y = (float(part) for part in word.split(","))
        except ValueError:
            raise InputError(f'--points: {word!r} is not "x,y"; write "120,80 200,95.5"') from None
        points.append((x, y))
    if not points:
        raise InputError('--points: no point given; write "120,80 200,95.5"')
    return points


def _read(path: Path) -> list[Any]:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read as text") from None
    points = _from_csv(path, text) if path.suffix.lower() == ".csv" else _from_json(path, text)
    if not points:
        raise InputError(f"{path}: holds no points")
    return points


def _from_csv(path: Path, text: str) -> list[Any]:
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    points = []
    try:
        if not {"x", "y"} <= set(rows.fieldnames or ()):
            found = ", ".join(rows.fieldnames or ()) or "none"
            raise InputError(f"{path}: needs columns x and y in its first line; found {found}")
        points += [(float(row["x"]), float(row["y"])) for row in rows]
    except (csv.Error, TypeError, ValueError):
        raise InputError(f"{path}: line {rows.line_num}: x and y must be numbers") from None
    return points


def _from_json(path: Path, text: str) -> list[Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {first_line(error)}") from None
    listed = content.get("points") if isinstance(content, dict) else content
    if not isinstance(listed, list) or not all(map(_is_point, listed)):
        raise InputError(f'{path}: must be [[x, y], …] or {{"points": [[x, y], …]}}')
    return listed


def _is_point(value: Any) -> bool:
    """Whether a JSON value is a pair of numbers that a float can hold."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(number) in (int, float) and abs(number) < 1e300 for number in value)
    )
