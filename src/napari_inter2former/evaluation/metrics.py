"""Overlap of a mask with the truth, and how many clicks it took."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from napari_inter2former.evaluation.regions import crops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_inter2former.evaluation.regions import MaskLike

__all__ = ["boundary_iou", "boundary_width", "iou", "number_of_clicks"]


def iou(truth: MaskLike, prediction: MaskLike) -> float:
    """Intersection over union of two masks of one image; 1 when both are empty.

    Parameters
    ----------
    truth, prediction : MaskLike
        The masks.

    Returns
    -------
    float
        Between 0 and 1.
    """
    first, second, _ = crops(truth, prediction)
    return _overlap(first, second)


def boundary_width(shape: tuple[int, int], ratio: float = 0.02) -> int:
    """Width of the band that the boundary IoU looks at, in pixels.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image.
    ratio : float
        Part of the image's diagonal. 0.02 is the value of the paper (Cheng et al., CVPR 2021,
        section 5).

    Returns
    -------
    int
        At least 1.
    """
    return max(1, round(ratio * math.hypot(*shape)))


def boundary_iou(truth: MaskLike, prediction: MaskLike, width: int) -> float:
    """Intersection over union of the bands along the inside of two masks' borders.

    Boundary IoU of Cheng et al. (CVPR 2021), Eq. 2. The image's own border counts as a border of
    the mask, as in the authors' code. For objects narrower than twice the width it is the IoU.

    Parameters
    ----------
    truth, prediction : MaskLike
        The masks.
    width : int
        Width of the band in pixels (chessboard distance), see `boundary_width`.

    Returns
    -------
    float
        Between 0 and 1; 1 when both masks are empty.
    """
    first, second, _ = crops(truth, prediction)
    return _overlap(_band(first, width), _band(second, width))


def number_of_clicks(ious: Sequence[float], threshold: float, limit: int = 20) -> int:
    """Count the clicks until the IoU reaches a threshold (NoC).

    Parameters
    ----------
    ious : sequence of float
        The IoU after click 1, 2, ...
    threshold : float
        The IoU asked for, for example 0.9.
    limit : int
        What an object counts that never reaches it.

    Returns
    -------
    int
        From 1 to `limit`.
    """
    for clicks, value in enumerate(ious[:limit], start=1):
        if value >= threshold:
            return clicks
    return limit


def _overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / union) if union else 1.0


def _band(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return the pixels of a mask that are at most `width` pixels from its outside."""
    if not mask.size:
        return mask
    # Wider than the mask's array changes nothing, and would only cost time.
    width = min(width, max(mask.shape))
    padded = np.pad(mask.astype(np.uint8), 1)
    kernel = np.ones((3, 3), np.uint8)
    inner = cv2.erode(
        padded, kernel, iterations=width, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return mask & ~inner[1:-1, 1:-1].astype(np.bool_)
