"""Geodesic distances (Bai and Sapiro, 2007; Criminisi et al., 2008) by scikit-image.

A pixel belongs to the click that it is reached from on the cheapest path, where steps cost more
the steeper the image is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["segment"]

SMOOTHING = 1.0
"""Standard deviation of the Gaussian before gradients are taken, in pixels."""

STEP = 0.003
"""Cost of a step where the image is flat; one across an edge from black to white costs up to 1."""


def segment(
    crop: NDArray[np.uint8], inside: NDArray[np.bool_], outside: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Segment a crop; see `METHODS`."""
    smooth = cv2.GaussianBlur(crop.astype(np.float32) / 255, (0, 0), SMOOTHING)
    slopes = [
        np.abs(cv2.Scharr(smooth, cv2.CV_32F, dx, dy, scale=1 / 32)) for dx, dy in ((1, 0), (0, 1))
    ]
    steepness = np.hypot(*slopes)
    cost = STEP + (steepness if steepness.ndim == 2 else steepness.max(axis=-1))
    return _distance(cost, inside) < _distance(cost, outside)


def _distance(cost: NDArray[Any], seeds: NDArray[np.bool_]) -> NDArray[np.float64]:
    from skimage.graph import MCP_Geometric

    distance, _ = MCP_Geometric(cost).find_costs(np.argwhere(seeds))
    return np.asarray(distance)
