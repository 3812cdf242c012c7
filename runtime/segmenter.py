"""Instance masks: which pixels belong to the object that a box or points show, by SAM.

"Segment Anything" (Kirillov et al., ICCV 2023): an image is encoded once, and any number of
prompts are answered from its embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .bundle import Bundle
from .engines import Device, open_engine
from .engines.choice import choose
from .errors import InputError, gpu_errors
from .geometry import Frame, Points
from .images import ImageSource, bilinear, load, to_frame
from .manifest import MaskDecoder

BACKGROUND, OBJECT, TOP_LEFT, BOTTOM_RIGHT, PADDING = 0, 1, 2, 3, -1

Box = Sequence[float]


@dataclass(frozen=True)
class InstanceMask:
    """mask: (H, W) bool, where the object is, in the image's pixels.

    score: the overlap with the truth (intersection over union) that the model expects.
    """

    mask: NDArray[np.bool_]
    score: float


@dataclass(frozen=True)
class Embedding:
    """An image, encoded: values (1, channels, rows, cols) float32, and its frame."""

    values: NDArray[np.float32]
    frame: Frame


class Segmenter:
    """A bundle that makes masks, loaded.

    >>> segmenter = Segmenter.load("sam-b-masks")
    >>> segmenter.mask("cat.jpg", box=(40, 20, 300, 260)).mask      # (H, W) bool

    Boxes and points are in the image's pixels, and reach SAM as its own predictor passes them on:
    scaled into the frame, where SAM adds half a pixel.
    """

    def __init__(self, bundle: Bundle, device: Device = "cpu", threads: int | None = None) -> None:
        """Load the bundle's models. What answers prompts is small, and always runs on the CPU.

        threads: CPU threads that one run may use; None for all cores.

        Raises InputError for a bundle without a mask decoder, GeoAwareError where a file does not
        hold.
        """
        decoder = mask_decoder(bundle)
        self.bundle = bundle.verified()
        choice = choose(device, bundle)
        self.device = choice.device
        encoder = next(
            model
            for model in bundle.manifest.models
            if "embedding" in {tensor.name for tensor in model.outputs}
        )
        self._spec = bundle.manifest.recipe.frame
        self._side = int(encoder.inputs[0].shape[-1])
        with gpu_errors():
            self._encoder = open_engine(bundle.path, encoder, choice.device, threads, choice.record)
        self._decoder = open_engine(bundle.path, decoder.model, "cpu", threads)

    @classmethod
    def load(cls, name: str | PathLike[str], device: Device = "cpu") -> Segmenter:
        """Load a bundle by name or folder. Raises InputError where it is not built."""
        return cls(Bundle.open(name), device)

    def embed(self, image: ImageSource) -> Embedding:
        """Encode an image: a path, a PIL image, or a uint8 array (H, W[, 3|4])."""
        picture = load(image)
        frame = Frame.fit(self._spec.mode, self._side, picture.width, picture.height)
        pixels = to_frame(picture, self._spec, self._side)[None]
        with gpu_errors():
            return Embedding(self._encoder.run({"image": pixels})["embedding"], frame)

    def mask(
        self,
        image: ImageSource,
        box: Box | None = None,
        points: ArrayLike = (),
        labels: Sequence[int] | None = None,
    ) -> InstanceMask:
        """The object of an image that a box or points show; `mask_of` says how."""
        return self.mask_of(self.embed(image), box, points, labels)

    def mask_of(
        self,
        embedding: Embedding,
        box: Box | None = None,
        points: ArrayLike = (),
        labels: Sequence[int] | None = None,
    ) -> InstanceMask:
        """The object of an encoded image that a box or points show.

        box: left, top, right, bottom. points: (K, 2), x and y. labels: (K,), 1 for points on the
        object, 0 for others; all are on it unless told.

        A single point may mean a part or the whole: of three masks the one with the best score
        is taken. Any other prompt has one mask.

        Raises InputError for a box or points that are not the image's.
        """
        frame = embedding.frame
        places, kinds = _prompt(frame, box, points, labels)
        answer = self._decoder.run(
            {"embedding": embedding.values, "points": places, "labels": kinds}
        )
        masks, scores = answer["masks"][0], answer["scores"][0]
        ambiguous = box is None and kinds.size == 2  # one point and the padding
        chosen = 1 + int(scores[1:].argmax()) if ambiguous else 0
        return InstanceMask(_on_image(masks[chosen], frame) > 0, float(scores[chosen]))


def mask_decoder(bundle: Bundle) -> MaskDecoder:
    """What makes masks in a bundle. Raises InputError where nothing does."""
    manifest = bundle.manifest
    if manifest.masks is None:
        raise InputError(
            f"bundle {manifest.name!r} makes no masks; build one that does: "
            "geoexport build sam-b-masks"
        )
    return manifest.masks


def _prompt(
    frame: Frame, box: Box | None, points: ArrayLike, labels: Sequence[int] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A prompt as the decoder takes it: frame points (1, n, 2) and what they are (1, n).

    Points come first, then the box's corners; without a box there is one point of padding, as
    SAM was trained.
    """
    asked = frame.contains(points) if np.size(points) else np.empty((0, 2))
    kinds = [OBJECT] * len(asked) if labels is None else list(labels)
    if len(kinds) != len(asked) or not set(kinds) <= {BACKGROUND, OBJECT}:
        raise InputError("labels are 1 (on the object) or 0 (not on it), one for every point")
    if box is None and OBJECT not in kinds:
        raise InputError("a mask needs a box, or a point on the object")
    if box is None:
        places = np.vstack([frame.to_frame(asked), np.zeros((1, 2))])
        kinds.append(PADDING)
    else:
        places = frame.to_frame(np.vstack([asked, _corners(frame, box)]))
        kinds += [TOP_LEFT, BOTTOM_RIGHT]
    return places[None].astype(np.float32), np.array([kinds], np.int64)


def _corners(frame: Frame, box: Box) -> Points:
    """A box's top left and bottom right corners (2, 2), after a check."""
    try:
        left, top, right, bottom = (float(number) for number in box)
    except (TypeError, ValueError):
        raise InputError("a box is four numbers: left, top, right, bottom") from None
    if not (0 <= left < right <= frame.width and 0 <= top < bottom <= frame.height):
        raise InputError(
            f"box {left:g},{top:g},{right:g},{bottom:g} is no box (left, top, right, bottom) "
            f"inside the image, which is {frame.width} x {frame.height} pixels"
        )
    return np.array([[left, top], [right, bottom]])


def _on_image(logits: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Logits (h, w) over the frame, bilinearly at the frame's size, then at the image's (H, W)."""
    full = bilinear(logits, (frame.side, frame.side))
    rows = slice(frame.top, frame.top + frame.inner_height)
    columns = slice(frame.left, frame.left + frame.inner_width)
    return bilinear(full[rows, columns], (frame.width, frame.height))
