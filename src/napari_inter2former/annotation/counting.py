"""The largest number in a labels image, looked for block by block."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from napari_inter2former._sparse import SparseLabels

__all__ = ["Count"]

BLOCK = 1 << 22
"""So many pixels are looked at at once, or one chunk of the array if that is larger."""


class Count:
    """A search for the largest number, which can be left after any block and taken up again.

    Parameters
    ----------
    array : array-like of int
        NumPy, zarr, or anything that slices alike; read chunk by chunk where it has chunks.

    Attributes
    ----------
    largest : int
        The largest number so far; at least 0.
    """

    def __init__(self, array: Any) -> None:
        self.largest = 0
        self._array = array
        chunks = getattr(array, "chunks", None) or (1,) * len(array.shape)
        self._regions = _regions(array.shape, chunks, BLOCK)

    def go_on(self) -> bool:
        """Look at one more block.

        Returns
        -------
        bool
            False when there was none left.
        """
        if isinstance(self._array, SparseLabels):
            self.largest = self._array.largest()
            return False
        region = next(self._regions, None)
        if region is None:
            return False
        self.largest = max(self.largest, int(np.asarray(self._array[region]).max()))
        return True


def _regions(shape: Sequence[int], chunks: Sequence[int], most: int) -> Iterator[tuple[slice, ...]]:
    """Cut an array into regions of whole chunks, of at most so many pixels where that is possible.

    The last axes are filled first, as they lie closest together.
    """
    sides = [max(1, int(side)) for side in chunks]
    room = most // math.prod(sides)
    for axis in reversed(range(len(shape))):
        times = max(1, min(room, -(-shape[axis] // sides[axis])))
        sides[axis] *= times
        room //= times
    starts = (range(0, n, side) for n, side in zip(shape, sides, strict=True))
    for corner in itertools.product(*starts):
        yield tuple(slice(at, at + side) for at, side in zip(corner, sides, strict=True))
