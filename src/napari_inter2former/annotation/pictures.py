"""How a mask is drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["mask_picture", "picture_step"]

MOST_PIXELS = 1 << 19
"""A picture of so many pixels takes the viewer about as long as one frame."""


def picture_step(shape: Sequence[int]) -> int:
    """Pixels of a mask per pixel of its picture, along each side.

    Parameters
    ----------
    shape : tuple of int
        (height, width) of the mask.
    """
    height, width = shape
    # The second matters to masks thinner than a step.
    step = max(1, math.isqrt(height * width // MOST_PIXELS), max(shape) // MOST_PIXELS)
    while -(-height // step) * -(-width // step) > MOST_PIXELS:
        step += 1
    return step


def mask_picture(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Draw a mask as fill and rim; a large one smaller, by `picture_step`.

    A mask of thousands of pixels was drawn at a low zoom and enlarged, so that its picture shows
    what was drawn even so.

    Parameters
    ----------
    mask : array of bool, (h, w)
        A mask in its box.

    Returns
    -------
    array of uint8, (ceil(h / step), ceil(w / step))
        0 outside, 1 inside, 2 on the rim: mask pixels with a neighbour (up, down, left or right)
        outside the mask.
    """
    step = picture_step(mask.shape)
    if step > 1:
        rows, columns = (np.minimum(np.arange(0, n, step) + step // 2, n - 1) for n in mask.shape)
        mask = mask[np.ix_(rows, columns)]
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    picture = mask.astype(np.uint8)
    picture[mask & ~inside] = 2
    return picture
