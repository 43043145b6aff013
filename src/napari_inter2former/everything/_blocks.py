"""Which windows are searched: blocks with a halo, at a zoom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_inter2former.everything._find import click_grid
from napari_inter2former.predictor._windows import Window, zoomed_shape

if TYPE_CHECKING:
    from napari_inter2former.everything._shapes import Box

__all__ = ["Block", "block_side", "blocks_of"]

LARGEST_SIDE = 1024
"""Largest side of an encoded window, input pixels."""
HALO = 96
"""Input pixels round a block that objects may reach into: half the piece a click is decoded on."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the image, searched by itself.

    Attributes
    ----------
    window : Window
        What is encoded: the core and its halo.
    core : tuple of int
        (r0, c0, r1, c1) in pixels of the window: what is searched, each pixel by one block.
    """

    window: Window
    core: Box

    def clicks(self, spacing: int) -> list[tuple[int, int]]:
        """Lay the grid of clicks, in pixels of the window."""
        return click_grid(self.core, spacing)


def block_side(window: int) -> int:
    """Side of an encoded window for a model that was made for windows of this size."""
    return min(LARGEST_SIDE, max(4 * window, 4 * HALO)) // 16 * 16


def blocks_of(
    shape: tuple[int, int], exponent: int, side: int, region: Box | None = None
) -> list[Block]:
    """Cover a region by blocks, row by row.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    exponent : int
        Base-2 logarithm of the zoom.
    side : int
        Of the encoded windows, input pixels.
    region : tuple of int, optional
        (r0, c0, r1, c1) in image pixels; by default the whole image.
    """
    height, width = zoomed_shape(shape, exponent)
    r0, c0, r1, c1 = region or (0, 0, *shape)
    zoom = 2.0**exponent
    rows = _spans(int(r0 * zoom), min(-int(-r1 * zoom // 1), height), height, side)
    columns = _spans(int(c0 * zoom), min(-int(-c1 * zoom // 1), width), width, side)
    return [
        Block(
            Window(exponent, row, column, bottom - row, right - column),
            (first - row, left - column, last - row, stop - column),
        )
        for first, last, row, bottom in rows
        for left, stop, column, right in columns
    ]


def _spans(start: int, stop: int, length: int, side: int) -> list[tuple[int, int, int, int]]:
    """Return core's and window's start and stop along one axis."""
    start -= start % 16  # grids of neighbouring and repeated runs agree
    if stop - max(start - HALO, 0) <= side and (length <= side or stop - start <= side - 2 * HALO):
        cores = [(start, stop)]
    else:
        step = side - 2 * HALO
        cores = [(s, min(s + step, stop)) for s in range(start, stop, step)]
    return [(a, b, max(a - HALO, 0), min(b + HALO, length)) for a, b in cores]
