"""Finished runs, read back from the folders they were written to."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ..errors import GeoAwareError, InputError, first_line, first_problem
from .report import RESULTS
from .report.csv_files import PER_PAIR, pck_column
from .results import ProtocolResult, Results, key


@dataclass(frozen=True, eq=False)
class PairScores:
    """PCK of N pairs at A alphas, in percent: (N, A); with the pairs' names and categories."""

    names: tuple[str, ...]
    categories: tuple[str, ...]
    pck: NDArray[np.float64]


def read_results(folder: Path) -> Results:
    """The results.json of a run.

    Raises InputError where the folder holds none, GeoAwareError where it cannot be used.
    """
    path = folder / RESULTS
    try:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        results = Results.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{folder}: holds no {RESULTS}; name the folder of an evaluation that finished"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        if any(each["loc"] == ("schema_version",) for each in error.errors()):
            raise GeoAwareError(
                f"{path}: of another schema than this version reads; upgrade geoaware, "
                "or evaluate again"
            ) from None
        raise GeoAwareError(f"{path}: damaged ({first_problem(error)}); evaluate again") from None
    if not results.protocols or not all(map(_complete, results.protocols.values())):
        raise GeoAwareError(f"{path}: damaged (numbers are missing); evaluate again")
    return results


def read_pairs(folder: Path, protocol: str, alphas: Sequence[float]) -> PairScores:
    """The PCK of every pair of a run, from its per_pair.csv.

    Raises GeoAwareError where the file is missing or damaged.
    """
    path = folder / PER_PAIR
    columns = ["pair", "category", *(pck_column(protocol, alpha) for alpha in alphas)]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names, categories, *pck = _columns(file, columns)
        shares = np.array(pck, np.float64).T
        if len(set(names)) < len(names):
            raise ValueError("a pair twice")
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError("PCK outside 0 to 1")
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be read: {error.strerror}; evaluate again") from None
    except (csv.Error, ValueError) as error:
        raise GeoAwareError(f"{path}: damaged ({first_line(error)}); evaluate again") from None
    return PairScores(names, categories, 100 * shares)


def _columns(file: TextIO, names: Sequence[str]) -> list[tuple[str, ...]]:
    """The columns of these names, without the header."""
    rows = csv.reader(file, strict=True)
    header = next(rows, [])
    for name in names:
        if name not in header:
            raise ValueError(f"no column {name!r}")
    table = list(rows)
    if not table or any(len(row) != len(header) for row in table):
        raise ValueError("rows are cut off")
    columns = list(zip(*table, strict=True))
    return [columns[header.index(name)] for name in names]


def _complete(result: ProtocolResult) -> bool:
    """Whether a protocol has every number at every one of its alphas."""
    parts = [result.overall, *result.categories.values()]
    parts += [part.scores for part in (result.geometry_aware, result.mutual) if part]
    averages = [by for part in parts for by in (part.per_image, part.per_keypoint)]
    wanted = {key(alpha) for alpha in result.alphas}
    found = [result.spread.keys(), result.category_mean.keys(), *(by.keys() for by in averages)]
    return bool(wanted) and all(wanted <= names for names in found)
