"""From a window's logits to what the predictor needs: a mask in image pixels, size, borders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from napari_inter2former.kernels.parts import count_areas, find_parts
from napari_inter2former.predictor._mask import Bools, Box, Mask, cropped_mask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_inter2former.kernels.parts import Parts
    from napari_inter2former.predictor._windows import Rect, Window

__all__ = ["Drawing", "Extent", "honour", "keep_parts", "measure", "to_mask"]

OUTSIDE = -100.0
"""Logit outside the decoded box (Inter2Former, section 3.3, DLU)."""
TOUCHING_PIXELS = 3
"""So many mask pixels on a border make a mask touch it; fewer are specks."""
CORE_RADIUS = 2
"""Pixels this near to a click are what the user said, whatever the network answers. Few, as the
network knows better how far a thin object reaches to either side of a click."""
CORE_LOGIT = 0.5
STRIP_PIXELS = 1 << 24
"""Pixels of logits enlarged at once."""

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

_SQUARE = np.mgrid[-CORE_RADIUS : CORE_RADIUS + 1, -CORE_RADIUS : CORE_RADIUS + 1]
_CORE = _SQUARE[:, (_SQUARE**2).sum(0) <= CORE_RADIUS**2]


@dataclass(frozen=True, eq=False)
class Drawing:
    """A decoder's answer: logits inside a box of the window, background outside.

    Parameters
    ----------
    logits : array of float32, (h, w)
    box : tuple of int
        (r0, c0, r1, c1) in input pixels of the window.
    iou : float, optional
        Predicted IoU; None from a network without that head.
    """

    logits: Floats
    box: Box
    iou: float | None = None

    @cached_property
    def parts(self) -> Parts:
        """The connected parts of the mask, where logits are positive."""
        return find_parts(self.logits)

    @cached_property
    def stability(self) -> float:
        """Intersection over union of the masks at the logits +1 and -1; 0 if both are empty."""
        likely, sure = count_areas(self.logits)
        return sure / likely if likely else 0.0

    @property
    def score(self) -> float:
        """How good the mask is, 0 to 1: the predicted IoU, or else the stability."""
        return self.stability if self.iou is None else self.iou


@dataclass(frozen=True, slots=True)
class Extent:
    """Size and place of the object in a drawing.

    Parameters
    ----------
    size : float
        Square root of the area, input pixels; 0 if there is none.
    touches : bool
        Whether the object reaches a border of the window that has image beyond it.
    rect : tuple of float or None
        Bounding rectangle, image coordinates.
    """

    size: float
    touches: bool
    rect: Rect | None


def honour(
    drawing: Drawing,
    reference: npt.NDArray[np.uint8],
    clicks: Iterable[tuple[int, int, bool]],
    definite: tuple[int, int],
) -> Drawing:
    """Make sure that no click is ignored: the pixels at each become what the user said.

    Parameters
    ----------
    drawing : Drawing
        Its logits are changed in place. Where the network drew nothing at all, nothing is changed.
    reference : array of uint8, (height, width)
        The reference mask of the window: pixels that are not definite as the click says belong to
        another click, or lie beyond what it speaks for.
    clicks : iterable of (int, int, bool)
        Input pixels of the window, and whether they are positive.
    definite : tuple of int
        The labels of definite background and definite foreground.

    Returns
    -------
    Drawing
        In a larger box where positive clicks lie beyond the decoder's.
    """
    if not (drawing.logits > 0).any():
        return drawing
    rows, columns, positive = (np.array(x)[:, None] for x in zip(*clicks, strict=True))
    rows, columns, positive = np.broadcast_arrays(rows + _CORE[0], columns + _CORE[1], positive)
    height, width = reference.shape
    inside = (rows >= 0) & (columns >= 0) & (rows < height) & (columns < width)
    rows, columns, positive = rows[inside], columns[inside], positive[inside]
    valid = reference[rows, columns] == np.where(positive, definite[1], definite[0])
    rows, columns, positive = rows[valid], columns[valid], positive[valid]
    drawing = _grown(drawing, rows[positive], columns[positive])
    r0, c0, r1, c1 = drawing.box
    inside = (rows >= r0) & (columns >= c0) & (rows < r1) & (columns < c1)
    at = rows[inside] - r0, columns[inside] - c0
    now, positive = drawing.logits[at], positive[inside]
    drawing.logits[at] = np.where(
        positive, np.maximum(now, CORE_LOGIT), np.minimum(now, -CORE_LOGIT)
    )
    return drawing


def _grown(drawing: Drawing, rows: Ints, columns: Ints) -> Drawing:
    """Return a drawing whose box holds some more pixels."""
    r0, c0, r1, c1 = drawing.box
    top, bottom = min([r0, *rows]), max([r1, *(rows + 1)])
    left, right = min([c0, *columns]), max([c1, *(columns + 1)])
    if (top, left, bottom, right) == drawing.box:
        return drawing
    logits = np.full((bottom - top, right - left), OUTSIDE, dtype=np.float32)
    logits[r0 - top : r1 - top, c0 - left : c1 - left] = drawing.logits
    return Drawing(logits, (int(top), int(left), int(bottom), int(right)), drawing.iou)


def keep_parts(drawing: Drawing, known: npt.NDArray[np.uint8], least: int = 1) -> Drawing:
    """Empty every connected part of a mask that nothing speaks for.

    A click at one cell among many that look like it shows the network all of them; the user means
    the one. A part stays if it touches something known: a click's disc, or the mask before.

    Parameters
    ----------
    drawing : Drawing
        Its logits are changed in place.
    known : array of uint8, (h, w)
        At least `least` where something is known to belong to the object; where nothing is, every
        part stays.
    least : int
        A label of the reference mask, or 1.

    Returns
    -------
    Drawing
        What is left.
    """
    parts = drawing.parts
    if len(parts.table()) < 2:
        return drawing
    stays = parts.touched(known.view(np.uint8), least)
    if stays.all() or not stays.any():
        return drawing
    parts.erase(drawing.logits, stays, OUTSIDE)
    return Drawing(drawing.logits, drawing.box, drawing.iou)


def measure(
    drawing: Drawing,
    window: Window,
    shape: tuple[int, int],
    seeds: Iterable[tuple[int, int]],
) -> Extent:
    """Measure the object: the connected parts that hold a seed, or all if none does.

    Specks elsewhere in the window stay in the mask, but must not move the window.

    Parameters
    ----------
    drawing, window
        What was drawn, and where.
    shape : tuple of int
        Of the image.
    seeds : iterable of (int, int)
        Input pixels of the window, usually the positive clicks.
    """
    parts = drawing.parts
    table = parts.table()
    if not len(table):
        return Extent(0.0, False, None)
    row, column = drawing.box[:2]
    chosen = {parts.at(r - row, c - column) for r, c in seeds} - {-1}
    counted = np.full(len(table), not chosen)
    counted[list(chosen)] = True
    boxes = table[counted]
    r0, c0 = (int(v) for v in boxes[:, :2].min(0))
    r1, c1 = (int(v) for v in boxes[:, 2:4].max(0))
    top, left, bottom, right = row + r0, column + c0, row + r1, column + c1
    lines = (
        ((r0, c0, r0 + 1, c1), top == 0),
        ((r0, c0, r1, c0 + 1), left == 0),
        ((r1 - 1, c0, r1, c1), bottom == window.height),
        ((r0, c1 - 1, r1, c1), right == window.width),
    )
    touches = any(
        inner and at_border and parts.count(counted, *line) >= TOUCHING_PIXELS
        for inner, (line, at_border) in zip(window.inner_borders(shape), lines, strict=True)
    )
    rect = (
        (window.row + top) / window.zoom,
        (window.column + left) / window.zoom,
        min((window.row + bottom) / window.zoom, shape[0]),
        min((window.column + right) / window.zoom, shape[1]),
    )
    return Extent(math.sqrt(int(boxes[:, 4].sum())), touches, rect)


def to_mask(
    drawing: Drawing, window: Window, shape: tuple[int, int], anchor: tuple[int, int]
) -> Mask:
    """Resample the logits to image pixels (bilinear) and cut them at 0.

    Parameters
    ----------
    drawing, window
        What was drawn, and where.
    shape : tuple of int
        Of the image; the mask is cut at its edge.
    anchor : tuple of int
        Where an empty mask is put, image pixels.
    """
    zoom = window.zoom
    cut = _cut(drawing)
    if cut is None:
        return Mask(np.zeros((0, 0), dtype=np.bool_), (*anchor, *anchor), 0.0, zoom)
    r0, c0, r1, c1 = cut
    row, column = window.row + drawing.box[0], window.column + drawing.box[1]
    if window.exponent > 0:
        n = 1 << window.exponent
        data, r, c = _reduced(drawing.logits[r0:r1, c0:c1], row + r0, column + c0, n)
    else:
        n = 1 << -window.exponent
        h, w = drawing.logits.shape
        r0, c0, r1, c1 = max(r0 - 1, 0), max(c0 - 1, 0), min(r1 + 1, h), min(c1 + 1, w)
        data = _enlarged(drawing.logits[r0:r1, c0:c1], n)
        r, c = (row + r0) * n, (column + c0) * n
    return cropped_mask(data[: shape[0] - r, : shape[1] - c], r, c, anchor, drawing.score, zoom)


def _cut(drawing: Drawing) -> Box | None:
    """Bounding box of the positive logits, or None."""
    boxes = drawing.parts.table()
    if not len(boxes):
        return None
    r0, c0 = (int(v) for v in boxes[:, :2].min(0))
    r1, c1 = (int(v) for v in boxes[:, 2:4].max(0))
    return r0, c0, r1, c1


def _reduced(logits: Floats, row: int, column: int, n: int) -> tuple[Bools, int, int]:
    """Bilinear samples at the centres of n x n blocks (n even) of the zoomed image's grid."""
    h, w = logits.shape
    r0, c0 = row // n, column // n
    r1, c1 = -(-(row + h) // n), -(-(column + w) // n)
    grid = np.full(((r1 - r0) * n, (c1 - c0) * n), OUTSIDE, dtype=np.float32)
    grid[row - r0 * n : row - r0 * n + h, column - c0 * n : column - c0 * n + w] = logits
    # The centre of an even block lies between its two middle rows and columns.
    rows = grid[n // 2 - 1 :: n] + grid[n // 2 :: n]
    return rows[:, n // 2 - 1 :: n] + rows[:, n // 2 :: n] > 0, r0, c0


def _enlarged(logits: Floats, n: int) -> Bools:
    """Bilinear enlargement by n, cut at 0, strip by strip."""
    if n == 1:
        return logits > 0
    h, w = logits.shape
    out = np.empty((h * n, w * n), dtype=np.bool_)
    rows = max(1, STRIP_PIXELS // (n * n * w))
    for start in range(0, h, rows):
        stop = min(start + rows, h)
        a, b = max(start - 1, 0), min(stop + 1, h)  # the neighbours that interpolation needs
        large = cv2.resize(
            np.ascontiguousarray(logits[a:b]),
            (w * n, (b - a) * n),
            interpolation=cv2.INTER_LINEAR,
        )
        np.greater(large[(start - a) * n : (stop - a) * n], 0, out=out[start * n : stop * n])
    return out
