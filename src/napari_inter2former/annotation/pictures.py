"""How a mask is drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["mask_picture"]


def mask_picture(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Draw a mask as fill and rim.

    Parameters
    ----------
    mask : array of bool, (h, w)
        A mask in its box.

    Returns
    -------
    array of uint8, (h, w)
        0 outside, 1 inside, 2 on the rim: mask pixels with a neighbour (up, down, left or right)
        outside the mask.
    """
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    picture = mask.astype(np.uint8)
    picture[mask & ~inside] = 2
    return picture
