"""Annotations held against the image files they speak of."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable
from importlib.util import find_spec
from math import inf
from pathlib import Path, PurePosixPath, PureWindowsPath
from textwrap import shorten
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from pydantic import BaseModel, ValidationError

from ..doctor import install_command
from ..errors import GeoAwareError, InputError, first_line, first_problem
from ..geometry import Points
from .pair import AnnotatedImage, Box, Listing, Pair, Problem

ROUNDING = 1.0  # pixels that an annotation may lie beyond the border: counted from 1, or rounded

Schema = TypeVar("Schema", bound=BaseModel)

_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that `images.load` turns by a quarter


def check_unpacked(paths: Iterable[Path], layout: str, source: str) -> None:
    """Raise InputError naming the first of the files and folders that is not there."""
    for path in paths:
        try:
            path.stat()
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            what = "no such file or folder" if missing else error.strerror
            raise InputError(f"{path}: {what}; {layout} {source}") from None


def read_list(path: Path) -> str:
    """The text of a list of pairs. Raises GeoAwareError where it cannot be read."""
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise GeoAwareError(f"{path}: is damaged, no text; get it again") from None


def check_inside(name: str) -> str:
    """A name without `./` and doubled slashes, so that a file has one.

    Raises ValueError for a path that may lead out of the dataset's folder.
    """
    path = PureWindowsPath(name)  # knows both kinds of slash, and drives
    control = any(sign < " " for sign in name)
    if path.anchor or ".." in path.parts or not path.name or control:
        raise ValueError(f"{name!r} is not the path of an image in the dataset's folder")
    return PurePosixPath(name).as_posix()


def read_json(path: Path, schema: type[Schema], kind: str, mend: str) -> Schema:
    """What a JSON file holds on which all else depends.

    kind: what it should be. mend: what to do where it is not.

    Raises InputError where it is missing, GeoAwareError where it does not fit its schema.
    """
    try:
        return schema.model_validate_json(path.read_bytes().removeprefix(BOM_UTF8))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise GeoAwareError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise GeoAwareError(f"{path}: no {kind}: {first_problem(error)}; {mend}") from None


def check_scipy(title: str) -> None:
    """Raise GeoAwareError where scipy, which reads MATLAB files, is not installed."""
    if find_spec("scipy") is None:
        raise GeoAwareError(f"reading {title} needs scipy: {install_command('eval')}")


class Inspector:
    """Collects the pairs of a dataset that are in order, and the problems of the others."""

    def __init__(self) -> None:
        self._pairs: dict[str, Pair] = {}
        self._problems: dict[Problem, None] = {}
        self._skipped = 0
        self._sizes: dict[Path, tuple[int, int] | None] = {}

    def problem(self, where: str | Path, what: str) -> None:
        """Note something wrong, once, in one line however long the values it quotes."""
        self._problems[Problem(str(where), shorten(what, 300, placeholder=" …"))] = None

    def add(self, pair: Pair | None) -> None:
        """Take a pair; None is one that is left out, its problem noted already.

        One listed before, or without a keypoint visible in both images, is a problem.
        """
        if pair is not None and pair.name in self._pairs:
            self.problem(pair.name, "is listed more than once")
        elif pair is not None and not pair.mutual.any():
            self.problem(pair.name, "no keypoint is visible in both images")
        elif pair is not None:
            self._pairs[pair.name] = pair
            return
        self._skipped += 1

    def parsed(self, path: Path, schema: type[Schema]) -> Schema | None:
        """What a JSON file holds; None, and a problem noted, where it does not fit its schema."""
        try:
            return schema.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            self.problem(path, "no such file")
        except OSError as error:
            self.problem(path, f"cannot be read: {error.strerror}")
        except ValidationError as error:
            self.problem(path, first_problem(error))
        return None

    def matrix(self, path: Path, key: str) -> NDArray[np.float64] | None:
        """A matrix of a MATLAB file; None, and a problem noted, where there is none.

        NaN stands for what is not there; infinite numbers are a problem.
        """
        from scipy.io import loadmat

        try:
            with path.open("rb") as file:
                found = loadmat(file, variable_names=[key]).get(key)
        except FileNotFoundError:
            self.problem(path, "no such file")
            return None
        except Exception as error:  # scipy raises whatever it likes for damaged files
            self.problem(path, f"no MATLAB file that can be read: {first_line(error)}")
            return None
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu" or found.ndim != 2:
            self.problem(path, f"has no matrix of numbers {key!r}")
            return None
        if np.isinf(found).any():
            self.problem(path, f"{key!r} has an infinite number")
            return None
        return found.astype(np.float64)

    def size(self, path: Path) -> tuple[int, int] | None:
        """Width and height of an image as `images.load` gives it, upright.

        None, and a problem noted, where there is no image.
        """
        if path not in self._sizes:
            self._sizes[path] = self._measured(path)
        return self._sizes[path]

    def annotated(
        self,
        where: str | Path,
        path: Path,
        points: Points,
        box: Box | None = None,
        size: tuple[int, int] | None = None,
    ) -> AnnotatedImage | None:
        """An image with its keypoints (K, 2), NaN where not visible; None where it is wrong.

        where: the file of the annotation. size: width and height as the annotation has them.
        Points up to a pixel beyond the border are moved onto it.
        """
        measured = self.size(path)
        if measured is None:
            return None
        if size is not None and size != measured:
            self.problem(where, f"says {path.name} has {_by(size)} pixels; it has {_by(measured)}")
            return None
        beyond = np.maximum(-points, points - np.array(measured)).max(axis=1, initial=-np.inf)
        visible = np.asarray(np.isfinite(points).all(axis=1))
        if (beyond[visible] > ROUNDING).any():
            number = int(np.flatnonzero(visible & (beyond > ROUNDING))[0])
            x, y = points[number]
            self.problem(
                where, f"keypoint ({x:g}, {y:g}) lies outside {path.name}, {_by(measured)} pixels"
            )
            return None
        if box is not None and not (0 < box[2] - box[0] < inf and 0 < box[3] - box[1] < inf):
            self.problem(where, f"the box {box} of {path.name} is empty or infinite")
            return None
        points = np.where(visible[:, None], points.clip(0, measured), np.nan)
        return AnnotatedImage(path, measured, points, visible, box)

    def listing(self) -> Listing:
        """Everything collected, pairs sorted by name."""
        pairs = tuple(self._pairs[name] for name in sorted(self._pairs))
        return Listing(pairs, tuple(self._problems), self._skipped)

    def _measured(self, path: Path) -> tuple[int, int] | None:
        try:
            with Image.open(path) as image:
                turned = image.getexif().get(ExifTags.Base.Orientation) in _ON_ITS_SIDE
                return image.size[::-1] if turned else image.size
        except FileNotFoundError:
            self.problem(path, "no such image")
        except Exception as error:  # decoders raise whatever they like for damaged files
            self.problem(path, f"no image that can be read: {first_line(error)}")
        return None


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
