"""Masks that are kept as a small array and its place in the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["Box", "MaskLike", "Region", "crops", "object_regions", "region_of"]

Box = tuple[int, int, int, int]
"""First row, first column, one past the last row, one past the last column."""


class MaskLike(Protocol):
    """What the predictor returns, as far as the evaluation needs it."""

    @property
    def data(self) -> NDArray[np.bool_]:
        """The mask inside its box, bool, shape (r1 - r0, c1 - c0)."""

    @property
    def box(self) -> Box:
        """Where the mask lies in the image: (r0, c0, r1, c1)."""


class Region(NamedTuple):
    """A mask inside its bounding box.

    Attributes
    ----------
    data : ndarray of bool, shape (r1 - r0, c1 - c0)
        The mask; may be empty.
    box : tuple of int
        (r0, c0, r1, c1) in image pixels.
    """

    data: NDArray[np.bool_]
    box: Box


EMPTY = Region(np.zeros((0, 0), np.bool_), (0, 0, 0, 0))
"""No pixel at all."""


def region_of(mask: NDArray[np.bool_]) -> Region:
    """Cut a mask out of a full image.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        A mask of the whole image.

    Returns
    -------
    Region
        The mask in its bounding box.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return EMPTY
    columns = np.flatnonzero(mask.any(axis=0))
    box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return Region(mask[box[0] : box[2], box[1] : box[3]], box)


def crops(
    first: MaskLike, second: MaskLike
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[int, int]]:
    """Bring two masks to the smallest common array.

    Parameters
    ----------
    first, second : MaskLike
        Two masks of the same image.

    Returns
    -------
    first, second : ndarray of bool, shape (h, w)
        Both masks in the bounding box of their boxes; (0, 0) when both are empty.
    corner : tuple of int
        Row and column of the array's first pixel in the image.
    """
    boxes = [mask.box for mask in (first, second) if mask.data.size]
    if not boxes:
        return EMPTY.data, EMPTY.data, (0, 0)
    r0, c0 = min(box[0] for box in boxes), min(box[1] for box in boxes)
    r1, c1 = max(box[2] for box in boxes), max(box[3] for box in boxes)
    placed = []
    for mask in (first, second):
        full = np.zeros((r1 - r0, c1 - c0), np.bool_)
        if mask.data.size:
            top, left, bottom, right = mask.box
            full[top - r0 : bottom - r0, left - c0 : right - c0] = mask.data
        placed.append(full)
    return placed[0], placed[1], (r0, c0)


def object_regions(labels: NDArray[np.integer[Any]], min_area: int = 1) -> dict[int, Region]:
    """Find every object of a label image, in one pass whatever its numbers are.

    Parameters
    ----------
    labels : ndarray of an integer type, shape (H, W)
        0 is background, every other number one object.
    min_area : int
        Smaller objects (in pixels) are left out.

    Returns
    -------
    dict of int to Region
        The objects by their numbers, in ascending order.
    """
    rows, columns = np.nonzero(labels)
    if not rows.size:
        return {}
    values = labels[rows, columns]
    order = np.argsort(values, kind="stable")
    values, rows, columns = values[order], rows[order], columns[order]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    areas = np.diff(np.r_[starts, values.size])
    edges = np.stack(
        [
            np.minimum.reduceat(rows, starts),
            np.minimum.reduceat(columns, starts),
            np.maximum.reduceat(rows, starts) + 1,
            np.maximum.reduceat(columns, starts) + 1,
        ],
        axis=1,
    )
    found = {}
    for start, area, (r0, c0, r1, c1) in zip(starts, areas, edges.tolist(), strict=True):
        if area >= min_area:
            value = values[start]
            found[int(value)] = Region(labels[r0:r1, c0:c1] == value, (r0, c0, r1, c1))
    return found
