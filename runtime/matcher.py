"""From feature maps and points of the first image to matches: every way to match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kernels import Found, SoftArgmax, ensemble_blocks, locate, similarity_blocks
from .device_features import DeviceFeatureMap
from .device_matching import match_on_device
from .errors import GeoAwareError, InputError
from .features import Features
from .geometry import Frame, Grid, Points, mirrored
from .matches import Matches
from .pose import Pose, mirror_is_closer
from .recipe import Matching

Maps = Features | Sequence[Features]


@dataclass(frozen=True)
class Matcher:
    """A way to match, usable on the feature maps of one bundle or of several.

    matching: how a point is found in a similarity map.
    weights: one per bundle; what counts is each one's share of their sum. With several, every
        bundle's cosine similarities are resized bilinearly to the smallest of their grids and
        averaged with the weights, and points are found in the average.

    Raises InputError where a weight does not lie between 1e-6 and 1e6.
    """

    matching: Matching
    weights: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not self.weights or not all(1e-6 <= weight <= 1e6 for weight in self.weights):
            raise InputError(f"weights {self.weights} must lie between 1e-6 and 1e6")

    @property
    def shares(self) -> tuple[float, ...]:
        """The weights divided by their sum."""
        total = sum(self.weights)
        return tuple(weight / total for weight in self.weights)

    def match(
        self, source: Maps, target: Maps, points: ArrayLike, pose: Pose | None = None
    ) -> Matches:
        """Find points (K, 2) of the source image in the target image, both in their own pixels.

        source, target: a feature map of each image, or one per bundle.
        pose: tries the mirrored source too. Where that is closer to the target, its predictions
            replace those of the points whose partner in the mirror image was asked for as well.

        Every point takes the descriptor of the cell it lies in.

        Raises InputError for points outside the source image or maps that do not belong
        together, GeoAwareError for maps with values that are not finite.
        """
        first, second = self._sides(source, target)
        asked = first.grid.frame.contains(points)
        try:
            matches = self._match(first, second, asked)
            if pose is not None and mirror_is_closer(first.maps, pose, second.maps, self.shares):
                return self._turned(matches, second, pose)
        except ValueError as error:
            raise GeoAwareError(f"cannot match: {error}") from None
        return matches

    def find(
        self, source: Maps, target: Maps, points: ArrayLike, settings: Sequence[SoftArgmax | None]
    ) -> tuple[list[Points], NDArray[np.float32]]:
        """Where points (K, 2) are found with each setting, and the similarity (K,) at the peaks.

        Similarities are computed once for all settings, and the way back is not looked at. The
        matcher's own `matching` has no part in it. Raises what `match` raises.
        """
        first, second = self._sides(source, target)
        asked = first.grid.frame.contains(points)
        try:
            found = self._locate(first, second, asked, settings)
        except ValueError as error:
            raise GeoAwareError(f"cannot match: {error}") from None
        return [second.grid.points(each.cells) for each in found], found[0].similarity

    def _sides(self, source: Maps, target: Maps) -> tuple[_Side, _Side]:
        first, second = self._side(source), self._side(target)
        for a, b in zip(first.maps, second.maps, strict=True):
            if a.bundle != b.bundle:
                raise InputError(
                    f"feature maps of different bundles ({a.bundle}, {b.bundle}) cannot be "
                    "compared; extract both with the same one"
                )
        return first, second

    def _side(self, maps: Maps) -> _Side:
        listed = tuple(maps) if isinstance(maps, Sequence) else (maps,)
        if len(listed) != len(self.weights):
            raise InputError(
                f"{len(listed)} feature maps and {len(self.weights)} weights; give one weight "
                "for each bundle"
            )
        frame, grid = listed[0].grid.frame, listed[0].grid
        if len(listed) == 1:
            return _Side(listed, grid)
        if any(abs(_extent(each.grid.frame) - _extent(frame)).max() > 0.01 for each in listed):
            raise InputError(
                "bundles with letterboxed and with stretched frames have no grid in common"
            )
        smallest = min((each.grid for each in listed), key=lambda grid: grid.rows * grid.columns)
        return _Side(listed, Grid(frame, smallest.rows, smallest.columns))

    def _match(self, source: _Side, target: _Side, asked: Points) -> Matches:
        soft = self.matching.soft_argmax()
        match (*source.maps, *target.maps):
            case (DeviceFeatureMap() as a, DeviceFeatureMap() as b):
                return match_on_device(a, b, asked, soft)
        [found] = self._locate(source, target, asked, [soft])
        peaks = target.grid.places(target.grid.numbered(found.peaks))
        [back] = self._locate(target, source, peaks, [None])
        mutual = back.peaks == source.grid.numbers(source.grid.cells(asked))
        return Matches(asked, target.grid.points(found.cells), found.similarity, mutual)

    def _turned(self, matches: Matches, target: _Side, pose: Pose) -> Matches:
        source = self._side(pose.mirrored)
        replaced = pose.partners >= 0
        partners = matches.source[pose.partners[replaced]]
        turned = self._match(source, target, mirrored(partners, source.grid.frame.width))
        target_points, similarity = matches.target.copy(), matches.similarity.copy()
        mutual = matches.mutual.copy()
        target_points[replaced], similarity[replaced] = turned.target, turned.similarity
        mutual[replaced] = turned.mutual
        return Matches(matches.source, target_points, similarity, mutual, mirrored=True)

    def _locate(
        self, source: _Side, target: _Side, points: Points, settings: Sequence[SoftArgmax | None]
    ) -> list[Found]:
        queries = [each.at(each.grid.cells(points)) for each in source.maps]
        similarity = self._similarity(queries, target)
        return locate(similarity, len(points), target.grid.columns, settings)

    def _similarity(
        self, queries: Sequence[NDArray[np.float32]], target: _Side
    ) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        descriptors = [each.descriptors for each in target.maps]
        if len(descriptors) == 1:
            return similarity_blocks(queries[0], descriptors[0])
        grid = target.grid
        return ensemble_blocks(queries, descriptors, self.shares, (grid.rows, grid.columns))


@dataclass(frozen=True)
class _Side:
    """One image's feature maps, one per bundle, and the grid its similarities lie on."""

    maps: tuple[Features, ...]
    grid: Grid


def _extent(frame: Frame) -> NDArray[np.float64]:
    """The part of the frame that the image covers: left, top, width, height of a side of 1."""
    covered = [frame.left, frame.top, frame.inner_width, frame.inner_height]
    return np.array(covered) / frame.side
