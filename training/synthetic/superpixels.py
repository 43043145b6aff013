"""Pseudo-objects from real pixels: regions that the image itself suggests."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb

WORKING_SIDE = 96
"""Regions are found in an image of about this side, for speed."""


def draw_superpixels(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.int32]:
    """Cut an image into regions of about one colour, at a random scale.

    Graph-based superpixels (Felzenszwalb and Huttenlocher, 2004) of a smaller copy, whose borders
    are then drawn in full resolution by a watershed.

    Parameters
    ----------
    image : ndarray
        uint8 (H, W, 3).
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray
        int32 (H, W), regions from 1 on.
    """
    height, width = image.shape[:2]
    factor = max(max(height, width) / WORKING_SIDE, 1)
    shape = (max(round(width / factor), 1), max(round(height / factor), 1))
    small = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
    scale = float(np.exp(rng.uniform(np.log(50), np.log(600))))
    smallest = int(np.exp(rng.uniform(np.log(20), np.log(200))))
    regions = felzenszwalb(small, scale, rng.uniform(0.4, 1.2), smallest).astype(np.float32) + 1
    kernel = np.ones((3, 3), np.uint8)
    certain = np.where(cv2.dilate(regions, kernel) == cv2.erode(regions, kernel), regions, 0)
    markers = cv2.resize(certain, (width, height), interpolation=cv2.INTER_NEAREST)
    labels = markers.astype(np.int32)
    if not labels.any():
        return np.ones((height, width), np.int32)
    cv2.watershed(np.ascontiguousarray(image), labels)
    # Watershed lines (-1) go to a neighbour, or to its neighbour where lines meet at a corner.
    filled = cv2.dilate(labels.astype(np.float32), kernel)
    while filled.min() < 1:
        filled = cv2.dilate(filled, kernel)
    return filled.astype(np.int32)
