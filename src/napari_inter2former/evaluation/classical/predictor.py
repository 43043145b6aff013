"""A predictor around the classical methods, with the face that the evaluation wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from napari_inter2former.evaluation.classical import geodesic, grabcut, random_walker
from napari_inter2former.evaluation.regions import EMPTY, Region, region_of
from napari_inter2former.images import as_image_source
from napari_inter2former.prompts import flatten

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_inter2former.prompts import Prompt

    Method = Callable[[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.bool_]]

__all__ = ["METHODS", "ClassicalPredictor"]

METHODS: dict[str, Method] = {
    "grabcut": grabcut.segment,
    "random-walker": random_walker.segment,
    "geodesic": geodesic.segment,
}
"""Each takes a crop (RGB, uint8) and the seeds of object and background in it, and returns the
object's mask. The crop's rim is among the background's seeds."""

MARGIN = 128
"""At least so many pixels of the image lie between a click and the crop's rim."""

SIDE = 384
"""The crop is at least so large, in image pixels."""

MOST = 384
"""A larger crop is shrunk to this many pixels, so that no click takes much over a second."""

RADIUS = 2
"""Of the disc that a click becomes, in pixels of the crop."""


class MethodName(NamedTuple):
    """What stands where the name of the weights stands for a network."""

    weights_name: str
    weights_sha256: None = None


class ClassicalPredictor:
    """Segment objects of an image by clicks, by a classical method.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    """

    encode_seconds: float = 0.0
    """Nothing is encoded."""

    def __init__(self, method: str) -> None:
        self._segment = METHODS[method]
        self.model = MethodName(method)
        self._image = np.zeros((0, 0, 3), np.uint8)

    def set_image(
        self, image: NDArray[Any], /, channel_axis: int | None = None, rgb: bool | None = None
    ) -> None:
        """Take a new image, normalised as for the network."""
        source = as_image_source(image, channel_axis, rgb)
        pixels = source.read(0, 0, *source.shape, 0)
        self._image = np.clip(pixels * 255 + 0.5, 0, 255).astype(np.uint8)

    def prefetch(self, row: float, column: float, /) -> None:
        """Do nothing: there is nothing to prepare."""

    def predict(self, prompts: Sequence[Prompt], /) -> Region:
        """Return the mask for all prompts of one object.

        Of the method's mask those pieces are kept that hold a positive click.
        """
        high, wide = self._image.shape[:2]
        clicks = flatten(prompts)
        r0, r1 = _span([click.row for click in clicks], high)
        c0, c1 = _span([click.column for click in clicks], wide)
        crop = self._image[r0:r1, c0:c1]
        scale = min(1.0, MOST / max(crop.shape[:2]))
        if scale < 1:
            small = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            crop = np.asarray(small, np.uint8)
        inside, outside = np.zeros((2, *crop.shape[:2]), np.uint8)
        # The rim is background, where it is not the image's own.
        outside[0], outside[-1] = r0 > 0, r1 < high
        outside[:, 0] |= c0 > 0
        outside[:, -1] |= c1 < wide
        for click in clicks:
            at = (round((click.column - c0) * scale), round((click.row - r0) * scale))
            # The later click wins.
            for seeds, value in ((inside, click.positive), (outside, not click.positive)):
                cv2.circle(seeds, at, RADIUS, int(value), cv2.FILLED)
        if not outside.any():  # the image is no larger than the crop
            outside[[0, -1]] = outside[:, [0, -1]] = 1
            outside &= ~inside
        if not (inside.any() and outside.any()):
            return EMPTY
        mask = self._segment(crop, inside > 0, outside > 0)
        mask = _pieces_with(mask, inside > 0)
        if not mask.any():
            return EMPTY
        if scale < 1:
            large = cv2.resize(mask.astype(np.uint8), (c1 - c0, r1 - r0)) > 0
            mask = np.asarray(large, np.bool_)
        data, (top, left, bottom, right) = region_of(mask)
        return Region(data, (top + r0, left + c0, bottom + r0, right + c0))


def _span(positions: Sequence[float], size: int) -> tuple[int, int]:
    """Return first and last (exclusive) pixel of the crop along one axis."""
    low, high = min(positions), max(positions)
    margin = max(MARGIN, (SIDE - (high - low)) / 2)
    return max(0, int(low - margin)), min(size, int(high + margin) + 1)


def _pieces_with(mask: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1]
    wanted = np.unique(pieces[seeds & mask])
    return np.isin(pieces, wanted[wanted > 0])
