"""The whole way of a match: image file, frame, engines, feature map, matches."""

from __future__ import annotations

from os import PathLike

from numpy.typing import ArrayLike

from .bundle import Bundle
from .engines import Device, choose_device
from .extractor import Extractor
from .features import FeatureMap
from .geometry import Frame, grid_points
from .images import ImageSource, load
from .matcher import Matcher
from .matches import Matches
from .recipe import Matching

DEFAULT_GRID = 5


class Pipeline:
    """A bundle, loaded: images to feature maps, feature maps to matches.

    >>> pipe = Pipeline.load("lite")
    >>> matches = pipe.match("cat.jpg", "lion.jpg", points=[(120, 80)])
    >>> matches.target                                  # (1, 2): x, y in lion.jpg's pixels
    """

    def __init__(self, bundle: Bundle, device: Device = "cpu", threads: int | None = None) -> None:
        """Load the bundle's models. Raises GeoAwareError where a file does not hold.

        threads: CPU threads that one extraction may use; None for all cores.
        """
        self.bundle = bundle.verified()
        self.device = choose_device(device)
        manifest = bundle.manifest
        self._hash = manifest.hash()
        self._extractor = Extractor(
            bundle.path, manifest.models, manifest.recipe.frame, self.device, threads
        )

    @classmethod
    def load(cls, name: str | PathLike[str] | None = None, device: Device = "cpu") -> Pipeline:
        """Load a bundle by name or folder; without one, `lite` as it ships with the package.

        Raises InputError where the bundle is not built or the device has no engine.
        """
        return cls(Bundle.open(name), device)

    def extract(self, image: ImageSource) -> FeatureMap:
        """The feature map of an image: a path, a PIL image, or a uint8 array (H, W[, 3|4])."""
        picture = load(image)
        spec = self.bundle.manifest.recipe.frame
        frame = Frame.fit(spec.mode, spec.side, picture.width, picture.height)
        return FeatureMap(self._extractor.descriptors(picture), frame, self._hash)

    def match(
        self,
        a: ImageSource | FeatureMap,
        b: ImageSource | FeatureMap,
        points: ArrayLike | None = None,
        matching: Matching | None = None,
    ) -> Matches:
        """Find points of image a in image b.

        points: (K, 2), x and y in a's original pixels; None asks for a 5 x 5 grid over a.
        matching: another method than the recipe's own.

        Raises InputError for points outside image a.
        """
        source = a if isinstance(a, FeatureMap) else self.extract(a)
        target = b if isinstance(b, FeatureMap) else self.extract(b)
        if points is None:
            points = grid_points(source.frame.width, source.frame.height, DEFAULT_GRID)
        matcher = Matcher(matching or self.bundle.manifest.recipe.matching)
        return matcher.match(source, target, points)
