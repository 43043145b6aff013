"""Where windows lie: pure geometry, no pixels.

Two grids are used. *Image* coordinates are image pixels. *Zoomed* coordinates are pixels of the
image scaled by ``zoom = 2 ** exponent``, that is, the model's input pixels. Rectangles are
(r0, c0, r1, c1) with continuous edges: pixel ``i`` covers [i, i + 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "HIGHEST_EXPONENT",
    "Rect",
    "Window",
    "choose_exponent",
    "contains",
    "exponent_for_size",
    "first_windows",
    "fit_exponent",
    "lowest_exponent",
    "place",
    "start_exponent",
    "union",
    "zoomed_shape",
]

Rect: TypeAlias = tuple[float, float, float, float]
Shape: TypeAlias = tuple[int, int]

HIGHEST_EXPONENT = 3
"""Zoom 8 is the largest."""
START_HIGHEST_EXPONENT = 2
START_SIDE = 512
"""A first click starts with a zoom of 4 at most, and encodes no enlarged image above this side."""
SMALL_SIZE = 44.0
"""Objects below this size (square root of the area, input pixels) are drawn at a higher zoom."""
LARGE_SIZE = 140.0
LARGE_SHARE = 0.6
"""Objects above this size, or this share of the window's side, are drawn at a lower zoom."""
SNAP_PARTS = 4
"""Windows start at multiples of the window's side divided by this."""
MARGIN_PARTS = 16
"""Clicks keep a distance of the window's side divided by this from a border inside the image."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of the zoomed image: what the model sees.

    Parameters
    ----------
    exponent : int
        Base-2 logarithm of the zoom (input pixels per image pixel).
    row, column : int
        First row and column, zoomed coordinates; at zooms above 1 multiples of the zoom.
    height, width : int
        Size in input pixels.
    """

    exponent: int
    row: int
    column: int
    height: int
    width: int

    @property
    def zoom(self) -> float:
        """Input pixels per image pixel."""
        return float(2.0**self.exponent)

    def to_input(self, row: float, column: float) -> tuple[int, int]:
        """Input pixel (row, column) that holds an image point, kept inside the window.

        Where an image pixel is drawn as several, it is the one that decides about the image pixel.

        Parameters
        ----------
        row, column : float
            Image pixels, whole numbers are pixel centres.
        """
        if self.exponent > 0:
            row, column = math.floor(row + 0.5), math.floor(column + 0.5)
        r = math.floor((row + 0.5) * self.zoom) - self.row
        c = math.floor((column + 0.5) * self.zoom) - self.column
        return min(max(r, 0), self.height - 1), min(max(c, 0), self.width - 1)

    def shows(self, row: float, column: float) -> bool:
        """Whether an image point lies in the window."""
        r, c = (row + 0.5) * self.zoom - self.row, (column + 0.5) * self.zoom - self.column
        return 0 <= r < self.height and 0 <= c < self.width

    def inner_borders(self, shape: Shape) -> tuple[bool, bool, bool, bool]:
        """Which borders (top, left, bottom, right) have image beyond them."""
        height, width = zoomed_shape(shape, self.exponent)
        return (
            self.row > 0,
            self.column > 0,
            self.row + self.height < height,
            self.column + self.width < width,
        )


def zoomed_shape(shape: Shape, exponent: int) -> Shape:
    """Size of the image at a zoom, rounded up."""
    if exponent >= 0:
        return shape[0] << exponent, shape[1] << exponent
    return -(-shape[0] >> -exponent), -(-shape[1] >> -exponent)


def start_exponent(shape: Shape, side: int) -> int:
    """Zoom of a first click: the largest up to 4 at which all of the image fits, but at least 1.

    Encoding costs time in proportion to the window's area, so an image is not enlarged beyond
    `START_SIDE` before an object is known to be small.
    """
    exponent = _whole_image_exponent(shape, min(side, START_SIDE))
    return max(0, min(START_HIGHEST_EXPONENT, exponent))


def lowest_exponent(shape: Shape, side: int) -> int:
    """Smallest zoom of any use: one below that at which the whole image fits."""
    return _whole_image_exponent(shape, side) - 1


def fit_exponent(rect: Rect, shape: Shape, side: int, start: int) -> int:
    """Largest zoom up to `start` at which a window placed round `rect` is sure to hold it."""
    exponent = start
    span = max(rect[2] - rect[0], rect[3] - rect[1])
    # Snapping moves the window by up to half a step to either side, whole image pixels by 7.
    room = side - 2 * (side // MARGIN_PARTS) - max(1, side // SNAP_PARTS) - 16
    while exponent > lowest_exponent(shape, side):
        height, width = zoomed_shape(shape, exponent)
        if span * 2.0**exponent <= room or max(height, width) <= side:
            break
        exponent -= 1
    return exponent


def exponent_for_size(size: float, shape: Shape, side: int, start: int) -> int:
    """Zoom at which an object of a known size is neither small nor large in the window.

    Parameters
    ----------
    size : float
        Square root of its area, image pixels.
    shape, side
        Of the image; of the window.
    start : int
        The exponent that is kept if it will do.
    """
    exponent = start
    while size * 2.0**exponent < _small(side) and exponent < HIGHEST_EXPONENT:
        exponent += 1
    while size * 2.0**exponent > _large(side) and exponent > lowest_exponent(shape, side):
        exponent -= 1
    return exponent


def choose_exponent(exponent: int, side: int, size: float, touches: bool) -> int:
    """Zoom that a mask asks for, after it was drawn at another.

    The thresholds leave a factor of more than two between them, so that the zoom chosen for one
    reason is not undone for the other.

    Parameters
    ----------
    exponent : int
        At which the mask was drawn.
    side : int
        Side of the window, input pixels.
    size : float
        Square root of the mask's area, input pixels.
    touches : bool
        Whether the mask reaches a border of the window that has image beyond it.

    Returns
    -------
    int
        The same exponent, or one or two steps from it.
    """
    if touches:
        return exponent - (2 if size > _large(side) else 1)
    if size > _large(side):
        return exponent - 1
    if size < _small(side):
        return min(exponent + (2 if size < _small(side) / 2 else 1), HIGHEST_EXPONENT)
    return exponent


def place(rect: Rect, shape: Shape, exponent: int, side: int) -> Window:
    """Place a window round a rectangle, on the coarse grid and inside the image.

    Parameters
    ----------
    rect : tuple of float
        What the window should be centred on, image coordinates.
    shape : tuple of int
        Of the image.
    exponent : int
        Base-2 logarithm of the zoom.
    side : int
        Largest side of the window, input pixels; a multiple of 8.

    Returns
    -------
    Window
        As large as `side` and the image allow.
    """
    height, width = zoomed_shape(shape, exponent)
    zoom = 2.0**exponent
    row = _start((rect[0] + rect[2]) / 2 * zoom, height, side, exponent)
    column = _start((rect[1] + rect[3]) / 2 * zoom, width, side, exponent)
    return Window(exponent, row, column, min(side, height), min(side, width))


def first_windows(rect: Rect, shape: Shape, exponent: int, side: int) -> list[Window]:
    """All windows that first clicks at one zoom can be given, for clicks in a rectangle.

    Parameters
    ----------
    rect : tuple of float
        Where the clicks are, image coordinates.
    shape, exponent, side
        As for `place`.

    Returns
    -------
    list of Window
        Row by row.
    """
    zoom = 2.0**exponent
    height, width = zoomed_shape(shape, exponent)
    starts = []
    for first, last, length, size in (
        (rect[0], rect[2], height, shape[0]),
        (rect[1], rect[3], width, shape[1]),
    ):
        step = max(1, side // SNAP_PARTS)
        found: list[int] = []
        # From one centre to the next the start can't jump by more than one step.
        centre = min(max(first, 0), size - 1) + 0.5
        stop = min(max(last, first + 1, 1), size) - 0.5
        while True:
            start = _start(min(centre, stop) * zoom, length, side, exponent)
            if start not in found:
                found.append(start)
            if centre >= stop:
                break
            centre += max(1.0, math.floor(step / zoom))
        starts.append(found)
    h, w = min(side, height), min(side, width)
    return [Window(exponent, row, column, h, w) for row in starts[0] for column in starts[1]]


def contains(window: Window, rect: Rect, shape: Shape, side: int) -> bool:
    """Whether a window holds a rectangle, with a margin to borders that have image beyond them."""
    margin = side // MARGIN_PARTS
    top, left, bottom, right = (margin if inner else 0 for inner in window.inner_borders(shape))
    r0, c0, r1, c1 = (value * window.zoom for value in rect)
    # At the image's far edge the zoomed image is rounded up, so an exact comparison is safe.
    return (
        r0 >= window.row + top
        and c0 >= window.column + left
        and r1 <= window.row + window.height - bottom
        and c1 <= window.column + window.width - right
    )


def union(rects: Iterable[Rect]) -> Rect:
    """Smallest rectangle that holds all of `rects` (at least one)."""
    r0, c0, r1, c1 = zip(*rects, strict=True)
    return min(r0), min(c0), max(r1), max(c1)


def _whole_image_exponent(shape: Shape, side: int) -> int:
    """Largest exponent, at most the highest, at which all of the image fits in a window."""
    exponent = HIGHEST_EXPONENT
    while max(zoomed_shape(shape, exponent)) > side:
        exponent -= 1
    return exponent


def _small(side: int) -> float:
    # A sixth for small windows, so that a zoom chosen for a large object isn't undone.
    return min(SMALL_SIZE, side / 6)


def _large(side: int) -> float:
    return min(LARGE_SIZE, LARGE_SHARE * side)


def _start(centre: float, length: int, side: int, exponent: int) -> int:
    step = max(1, side // SNAP_PARTS)
    start = math.floor((centre - side / 2) / step + 0.5) * step
    start = min(max(start, 0), max(0, length - side))
    if exponent > 0:  # whole image pixels
        start -= start % (1 << exponent)
    return start
