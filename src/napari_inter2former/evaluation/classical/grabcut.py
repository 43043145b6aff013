"""GrabCut (Rother et al., 2004) by OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["segment"]

REACH = 32
"""Pixels this near to a positive click, and nearer to it than to any negative one, may be object
at the start."""

ITERATIONS = 3


def segment(
    crop: NDArray[np.uint8], inside: NDArray[np.bool_], outside: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Segment a crop; see `METHODS`."""
    near, far = (
        cv2.distanceTransform((~seeds).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for seeds in (inside, outside)
    )
    mask = np.full(crop.shape[:2], cv2.GC_PR_BGD, np.uint8)
    mask[(near < REACH) & (near < far)] = cv2.GC_PR_FGD
    mask[outside] = cv2.GC_BGD
    mask[inside] = cv2.GC_FGD
    bgr = np.ascontiguousarray(crop[..., ::-1])
    models = np.zeros((2, 1, 65))
    cv2.setRNGSeed(0)  # its clustering draws at random
    # The mask is changed in place; the rectangle is not looked at.
    cv2.grabCut(bgr, mask, (0, 0, 0, 0), models[0], models[1], ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.asarray((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD), np.bool_)
