"""The whole way of a match: image file, frame, engines, feature map, matches."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from .bundle import Bundle
from .device_features import DeviceFeatureMap
from .engines import HOST, Device, open_on_device
from .engines.choice import Choice, choose
from .errors import gpu_errors
from .extractor import Extractor
from .features import FeatureMap
from .geometry import Frame, grid_points
from .images import ImageSource, load
from .matcher import Matcher
from .matches import Matches
from .recipe import Matching

if TYPE_CHECKING:
    from .device_extractor import DeviceExtractor

DEFAULT_GRID = 5


class Pipeline:
    """A bundle, loaded: images to feature maps, feature maps to matches.

    >>> pipe = Pipeline.load("lite")
    >>> matches = pipe.match("cat.jpg", "lion.jpg", points=[(120, 80)])
    >>> matches.target                                  # (1, 2): x, y in lion.jpg's pixels
    """

    def __init__(self, bundle: Bundle, device: Device = "cpu", threads: int | None = None) -> None:
        """Load the bundle's models. Raises GeoAwareError where a file or the device does not hold.

        threads: CPU threads that one extraction may use; None for all cores.
        """
        self.bundle = bundle.verified()
        self.choice = choice = choose(device, bundle)
        self._hash = bundle.manifest.hash()
        models, frame = bundle.manifest.models, bundle.manifest.recipe.frame
        self._extractor: Extractor | DeviceExtractor = (
            Extractor(bundle.path, models, frame, choice.device, threads)
            if choice.device in HOST
            else _on_device(bundle, choice)
        )

    @classmethod
    def load(cls, name: str | PathLike[str] | None = None, device: Device = "cpu") -> Pipeline:
        """Load a bundle by name or folder; without one, `lite` as it ships with the package.

        Raises InputError where the bundle is not built, GeoAwareError where the device has no
        engine for it.
        """
        return cls(Bundle.open(name), device)

    @property
    def device(self) -> Device:
        """What runs the models; never `auto`."""
        return self.choice.device

    @property
    def batch(self) -> int:
        """How many images `extract_batch` is best given at once."""
        return 1 if isinstance(self._extractor, Extractor) else self._extractor.batch

    def extract(self, image: ImageSource) -> FeatureMap:
        """The feature map of an image: a path, a PIL image, or a uint8 array (H, W[, 3|4]).

        On a GPU it stays there: a DeviceFeatureMap.
        """
        return self.extract_batch([image])[0]

    def extract_batch(self, images: Sequence[ImageSource]) -> list[FeatureMap]:
        """The feature maps of images, several at a time on a GPU. Threads may share a pipeline."""
        pictures = [load(image) for image in images]
        spec = self.bundle.manifest.recipe.frame
        frames = [Frame.fit(spec.mode, spec.side, each.width, each.height) for each in pictures]
        if isinstance(self._extractor, Extractor):
            made = [self._extractor.descriptors(each) for each in pictures]
            return [FeatureMap(*each, self._hash) for each in zip(made, frames, strict=True)]
        arrays = self._extractor.descriptors(pictures)
        return [DeviceFeatureMap(*each, self._hash) for each in zip(arrays, frames, strict=True)]

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


def _on_device(bundle: Bundle, choice: Choice) -> DeviceExtractor:
    from .device_extractor import DeviceExtractor
    from .engines.gpu import current

    gpu, manifest = current(), bundle.manifest
    with gpu_errors():
        engines = [
            open_on_device(bundle.path, model, choice.device, gpu, choice.record)
            for model in manifest.models
        ]
        return DeviceExtractor(gpu, engines, manifest.recipe.frame)
