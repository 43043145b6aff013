"""Many objects at once, as a search finds them: kept small, and written in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["FoundMask", "FoundObjects", "plan_found"]

PIXELS_AT_ONCE = 1 << 15
"""So many pixels of masks' boxes, or a row of one, are looked at before the next part."""

Box = tuple[int, int, int, int]
Bools = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.integer[Any]]
Indices = npt.NDArray[np.intp]


class FoundMask(NamedTuple):
    """The mask of an object as bits.

    Attributes
    ----------
    box : tuple of int
        (r0, c0, r1, c1), in pixels of the plane, inside the image.
    bits : array of uint8, (h, ceil(w / 8))
        Of each row, as `numpy.packbits` makes them.
    """

    box: Box
    bits: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, data: Bools, box: Box) -> FoundMask:
        """Pack a mask, (h, w), that fills a box."""
        return cls(box, np.packbits(data, axis=1))

    def without(self, data: Bools, box: Box) -> FoundMask:
        """Return the mask less the pixels of another one, (h, w), that fills `box`."""
        r0, c0 = max(self.box[0], box[0]), max(self.box[1], box[1])
        r1, c1 = min(self.box[2], box[2]), min(self.box[3], box[3])
        if r0 >= r1 or c0 >= c1:
            return self
        top, left, _, right = self.box
        own = np.unpackbits(self.bits, axis=1, count=right - left).view(np.bool_)
        other = data[r0 - box[0] : r1 - box[0], c0 - box[1] : c1 - box[1]]
        own[r0 - top : r1 - top, c0 - left : c1 - left] &= ~other
        return FoundMask.of(own, self.box)

    def strips(self) -> Iterator[tuple[Box, Bools]]:
        """Yield the mask in boxes of some rows each, and what of them belongs to it, (h, w)."""
        r0, c0, r1, c1 = self.box
        rows = max(1, PIXELS_AT_ONCE // max(1, c1 - c0))
        for row in range(r0, r1, rows):
            stop = min(row + rows, r1)
            bits = np.unpackbits(self.bits[row - r0 : stop - r0], axis=1, count=c1 - c0)
            yield (row, c0, stop, c1), bits.view(np.bool_)


@dataclass(frozen=True, eq=False)
class FoundObjects:
    """Objects that become part of a labels image where it is free, and can be taken out again.

    Parameters
    ----------
    masks : sequence of FoundMask
        Pixels that several share go to the first.
    first : int
        The number of the first object; the others are counted on.
    """

    masks: tuple[FoundMask, ...]
    first: int


def plan_found(
    read: Callable[[Box], Labels], found: FoundObjects, forward: bool = True
) -> Iterator[tuple[Indices, Indices, Labels]]:
    """Turn found objects into sparse indices and values, part by part.

    Going forward, pixels that hold a number keep it, and objects half of which was not free before
    are left out: they are there already. Going back, pixels that hold another number than the
    object's keep it.

    Parameters
    ----------
    read : callable
        Returns the labels inside a box of the plane, (h, w), as they are now.
    found : FoundObjects
        The objects.
    forward : bool
        True to put them in, False to take them out.

    Yields
    ------
    rows, columns : array of int, (n,)
        Pixels of the plane, each once. They have to be written before the next part is asked for.
    values : array of int, (n,)
        What to write there, of the labels' type.
    """
    part: list[tuple[Indices, Indices, Labels]] = []
    size = 0
    for number, mask in enumerate(found.masks, start=found.first):
        before, after = (0, number) if forward else (number, 0)
        if forward and not _is_new(read, mask, found):
            continue
        for box, data in mask.strips():
            now = read(box)
            rows, columns = np.nonzero(data & (now == before))
            values = np.full(rows.size, after, now.dtype)
            part.append((rows + box[0], columns + box[1], values))
            size += data.size
            if size >= PIXELS_AT_ONCE:
                yield _joined(part)
                part, size = [], 0
    if part:
        yield _joined(part)


def _is_new(read: Callable[[Box], Labels], mask: FoundMask, found: FoundObjects) -> bool:
    free = total = 0
    for box, data in mask.strips():
        now = read(box)
        # What was found at the same time doesn't count, be it written by now or not.
        others = (now != 0) & ((now < found.first) | (now >= found.first + len(found.masks)))
        free += int(np.count_nonzero(data & ~others))
        total += int(np.count_nonzero(data))
    return 2 * free > total


def _joined(part: list[tuple[Indices, Indices, Labels]]) -> tuple[Indices, Indices, Labels]:
    rows, columns, values = (np.concatenate(arrays) for arrays in zip(*part, strict=True))
    # Of masks that share pixels the first has them: it was not written yet when others were read.
    _, first = np.unique(rows * (columns.max(initial=0) + 1) + columns, return_index=True)
    return rows[first], columns[first], values[first]
