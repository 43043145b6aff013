"""The random walker (Grady, 2006) by scikit-image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["segment"]

MOST = 256
"""The system of equations has one unknown per pixel: larger crops are solved at this side."""

BETA = 130
"""How hard it is to walk across an edge; the library's default."""


def segment(
    crop: NDArray[np.uint8], inside: NDArray[np.bool_], outside: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Segment a crop; see `METHODS`."""
    from skimage.segmentation import random_walker

    shape = crop.shape[:2]
    scale = min(1.0, MOST / max(shape))
    small = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if small.min() == small.max():  # the library divides by the contrast
        return inside
    seeds = np.zeros(small.shape[:2], np.int32)
    for label, marked in ((2, outside), (1, inside)):
        rows, columns = (
            np.minimum((at * scale).astype(int), size - 1)
            for at, size in zip(np.nonzero(marked), seeds.shape, strict=True)
        )
        seeds[rows, columns] = label
    chance = random_walker(
        small.astype(np.float64) / 255,
        seeds,
        beta=BETA,
        mode="cg_j",
        return_full_prob=True,
        prob_tol=1,  # it warns of chances a little above 1, which do no harm to a threshold
        channel_axis=-1,
    )[0]
    enlarged = cv2.resize(np.asarray(chance, np.float32), shape[::-1])
    mask = np.asarray(enlarged > 0.5)
    return (mask | inside) & ~outside
