"""How deep each pixel lies inside a mask."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["squared_depth"]


def squared_depth(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Squared Euclidean distance of each pixel to the nearest one outside a mask.

    Squares of distances between pixels are whole numbers, so equal depths compare as equal; the
    last digits of OpenCV's distances vary with where the memory lies.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        Everything beyond the array counts as outside.

    Returns
    -------
    ndarray of float32, shape (h, w)
        In pixels squared, whole numbers; 0 outside the mask.
    """
    padded = np.pad(mask, 1).view(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return np.asarray(np.rint(depth * depth), np.float32)
