"""Connected parts of a mask: compiled, and by OpenCV."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from ._extension import native

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


class Parts(Protocol):
    """The connected parts (8-connectivity) of a mask, numbered from 0."""

    def table(self) -> npt.NDArray[np.int64]:
        """Return (top, left, bottom, right, area) of each part, half-open boxes in pixels."""

    def at(self, row: int, column: int) -> int:
        """Return the part of a pixel, or -1."""

    def touched(self, labels: npt.NDArray[np.uint8], least: int) -> Bools:
        """Tell which parts have a pixel whose label, of (h, w), is at least `least`."""

    def count(self, chosen: Bools, top: int, left: int, bottom: int, right: int) -> int:
        """Count the pixels of chosen parts inside a box."""

    def erase(self, logits: Floats, stays: Bools, value: float) -> None:
        """Set the logits of the parts that do not stay, in place."""


def find_parts(logits: Floats, threads: int = 1) -> Parts:
    """Find the connected parts of the mask where logits are positive.

    Parameters
    ----------
    logits : array of float32, (h, w)
        Rows may lie apart, pixels of a row not.
    threads : int
        Most threads that the extension may use.
    """
    module = native()
    if module is None or logits.strides[1:] != (4,):
        return PlainParts(logits)
    parts: Parts = module.MaskParts(logits, threads)
    return parts


def count_areas(logits: Floats, threads: int = 1) -> tuple[int, int]:
    """Count how many logits are above -1 and above 1; see `find_parts` for the parameters."""
    module = native()
    if module is None or logits.strides[1:] != (4,):
        return int(np.count_nonzero(logits > -1)), int(np.count_nonzero(logits > 1))
    likely, sure = module.count_areas(logits, threads)
    return likely, sure


class PlainParts:
    """The twin of the compiled parts."""

    def __init__(self, logits: Floats) -> None:
        self._labels: Any = np.zeros(logits.shape, np.int32)
        stats: Any = np.zeros((1, 5), np.int64)
        if logits.size:  # OpenCV crashes
            _, self._labels, stats, _ = cv2.connectedComponentsWithStats(
                (logits > 0).view(np.uint8), connectivity=8
            )
        # Label 0 is what is no part. Columns: left, top, width, height, area.
        left, top, width, height, area = np.asarray(stats[1:], np.int64).T
        self._table = np.stack((top, left, top + height, left + width, area), 1)

    def table(self) -> npt.NDArray[np.int64]:
        """Return boxes and areas."""
        return self._table

    def at(self, row: int, column: int) -> int:
        """Return the part of a pixel, or -1."""
        h, w = self._labels.shape
        return int(self._labels[row, column]) - 1 if 0 <= row < h and 0 <= column < w else -1

    def touched(self, labels: npt.NDArray[np.uint8], least: int) -> Bools:
        """Tell which parts have a pixel of at least this label."""
        found = np.zeros(len(self._table) + 1, np.bool_)
        found[self._labels[labels >= least]] = True
        return found[1:]

    def count(self, chosen: Bools, top: int, left: int, bottom: int, right: int) -> int:
        """Count the pixels of chosen parts inside a box."""
        chosen = np.concatenate(([False], chosen))
        return int(np.count_nonzero(chosen[self._labels[top:bottom, left:right]]))

    def erase(self, logits: Floats, stays: Bools, value: float) -> None:
        """Set the logits of the parts that do not stay."""
        logits[~np.concatenate(([True], stays))[self._labels]] = value
