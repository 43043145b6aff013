"""Masks drawn in a window: cut out, compared, clicked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from napari_inter2former._depth import squared_depth

if TYPE_CHECKING:
    from napari_inter2former.everything._decode import Piece

__all__ = ["Box", "Shape", "cut_out", "deepest", "intersection", "overlaps"]

TOUCHING_PIXELS = 3
"""So many mask pixels on the frame's border make a mask touch it; fewer are specks."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Shape:
    """The part of a drawn mask that holds its click.

    Attributes
    ----------
    data : array of bool, (h, w)
        The mask inside `box`.
    box : tuple of int
        (r0, c0, r1, c1), pixels of the window.
    logits : array of float32, (h, w)
        What it was drawn from.
    area : int
        Pixels of the mask.
    score : float
        0 to 1, how good a mask it is: the predicted IoU, and of a network without that head the
        share of its pixels with a logit above 1.
    cut : bool
        Whether it reaches a border of what was drawn that is none of the window.
    """

    data: Bools
    box: Box
    logits: Floats
    area: int
    score: float
    cut: bool


def cut_out(piece: Piece, click: tuple[int, int], window: tuple[int, int]) -> Shape | None:
    """Return the connected part of a mask that holds the click; None if the click lies outside.

    Parameters
    ----------
    piece : Piece
        What the click drew.
    click : tuple of int
        Pixel of the window.
    window : tuple of int
        Height and width of the window.
    """
    positive = piece.logits > 0
    row, column = click[0] - piece.box[0], click[1] - piece.box[1]
    if not (0 <= row < positive.shape[0] and 0 <= column < positive.shape[1]):
        return None
    if not positive[row, column]:
        return None
    _, parts, stats, _ = cv2.connectedComponentsWithStats(positive.view(np.uint8), connectivity=4)
    part = int(parts[row, column])
    left, top, width, height, area = (int(v) for v in stats[part])
    inside = slice(top, top + height), slice(left, left + width)
    data = parts[inside] == part
    logits = piece.logits[inside]
    r0, c0 = piece.box[0] + top, piece.box[1] + left
    box = (r0, c0, r0 + height, c0 + width)
    drawn = piece.box
    lines = (
        (data[0], box[0] <= drawn[0] > 0),
        (data[:, 0], box[1] <= drawn[1] > 0),
        (data[-1], box[2] >= drawn[2] < window[0]),
        (data[:, -1], box[3] >= drawn[3] < window[1]),
    )
    cut = any(at and int(np.count_nonzero(line)) >= TOUCHING_PIXELS for line, at in lines)
    score = piece.iou
    if score is None:
        score = int(np.count_nonzero(data & (logits > 1))) / area
    return Shape(data, box, logits, area, score, cut)


def intersection(a: Bools, box_a: Box, b: Bools, box_b: Box) -> int:
    """Count the pixels that two masks share; their boxes are of one grid."""
    r0, c0 = max(box_a[0], box_b[0]), max(box_a[1], box_b[1])
    r1, c1 = min(box_a[2], box_b[2]), min(box_a[3], box_b[3])
    if r0 >= r1 or c0 >= c1:
        return 0
    first = a[r0 - box_a[0] : r1 - box_a[0], c0 - box_a[1] : c1 - box_a[1]]
    second = b[r0 - box_b[0] : r1 - box_b[0], c0 - box_b[1] : c1 - box_b[1]]
    return int(np.count_nonzero(first & second))


def overlaps(a: Shape, b: Shape) -> float:
    """Intersection over union of two shapes."""
    common = intersection(a.data, a.box, b.data, b.box)
    return common / (a.area + b.area - common)


def deepest(data: Bools) -> tuple[int, int]:
    """Return the row and column of the mask's pixel that lies farthest from its border.

    Parameters
    ----------
    data : array of bool, (h, w)
        A mask with at least one pixel.
    """
    row, column = divmod(int(np.argmax(squared_depth(data))), data.shape[1])
    return row, column
