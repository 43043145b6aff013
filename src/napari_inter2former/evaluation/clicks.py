"""The click protocol: where a user who knows the truth would click next.

As in RITM (Sofiiuk et al., 2022, section 3) and SegNext (Liu et al., CVPR 2024, section 4.1):
the next click goes to the centre of the largest error region, which is the point of the false
negatives or of the false positives that lies deepest inside them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former._depth import squared_depth
from napari_inter2former.evaluation.regions import EMPTY, crops
from napari_inter2former.prompts import Click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_inter2former.evaluation.regions import MaskLike

__all__ = ["deepest_point", "first_click", "next_click"]


def first_click(truth: MaskLike) -> Click | None:
    """Return the click at the centre of an object, or None for an empty one.

    Parameters
    ----------
    truth : MaskLike
        The object.
    """
    return next_click(truth, EMPTY)


def next_click(
    truth: MaskLike, prediction: MaskLike, clicked: Iterable[Click] = ()
) -> Click | None:
    """Return the click at the centre of the largest error region.

    Only the masks' common bounding box is looked at, so the cost does not depend on the size of
    the image. Outside the image, and outside the box, nothing is an error.

    Parameters
    ----------
    truth : MaskLike
        The object.
    prediction : MaskLike
        The mask so far.
    clicked : iterable of Click
        Earlier clicks. Their pixels are not clicked again.

    Returns
    -------
    Click or None
        Positive in the false negatives when these are deeper than the false positives, negative
        in the false positives otherwise; of several points equally deep the first, row by row.
        None when there is no error left that was not clicked already.
    """
    true, predicted, (row, column) = crops(truth, prediction)
    used = [(round(click.row) - row, round(click.column) - column) for click in clicked]
    missed, at_missed = deepest_point(true & ~predicted, used)
    added, at_added = deepest_point(predicted & ~true, used)
    if missed == 0 and added == 0:
        return None
    positive = missed > added
    r, c = at_missed if positive else at_added
    return Click(float(row + r), float(column + c), positive)


def deepest_point(
    mask: NDArray[np.bool_], used: Iterable[tuple[int, int]] = ()
) -> tuple[float, tuple[int, int]]:
    """Find the pixel farthest from the outside of a mask.

    Everything beyond the array counts as outside (it is padded by zeros).

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        The region.
    used : iterable of (int, int)
        Pixels that must not be returned; they may lie outside the array.

    Returns
    -------
    depth : float
        The Euclidean distance to the nearest pixel outside, in pixels; 0 when there is none left.
    point : tuple of int
        Row and column in the array.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return 0.0, (0, 0)
    columns = np.flatnonzero(mask.any(axis=0))
    r0, r1, c0, c1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    depth = squared_depth(mask[r0:r1, c0:c1])
    for row, column in used:
        if r0 <= row < r1 and c0 <= column < c1:
            depth[row - r0, column - c0] = 0
    r, c = divmod(int(np.argmax(depth)), depth.shape[1])
    return math.sqrt(depth[r, c]), (r0 + r, c0 + c)
