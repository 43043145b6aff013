"""Objects that several blocks or zooms found are made one."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from napari_inter2former.everything._shapes import Box, intersection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["meeting", "surviving", "surviving_of_parts"]

COVERED = 0.6
"""A mask that shares more than this part of the smaller of two with a better one is dropped."""
PARTS_IN_MEMORY = 64


class Drawn(Protocol):
    """A mask with a score: of an image, or of a window."""

    @property
    def data(self) -> npt.NDArray[np.bool_]:
        """Pixels inside the box, (h, w)."""

    @property
    def box(self) -> Box:
        """(r0, c0, r1, c1) in pixels."""

    @property
    def area(self) -> int:
        """Pixels of the mask."""

    @property
    def score(self) -> float:
        """How good the mask is, 0 to 1."""


AnyMask = TypeVar("AnyMask", bound=Drawn)


def surviving(masks: Sequence[AnyMask]) -> list[AnyMask]:
    """Drop the masks that overlap with better ones (non-maximum suppression).

    Parameters
    ----------
    masks : sequence of masks
        Of one image, or of one window.

    Returns
    -------
    list of masks
        The others, in their order.
    """
    kept = surviving_of_parts([len(masks)], lambda _: masks)[0]
    return [masks[i] for i in kept]


def surviving_of_parts(
    counts: Sequence[int], read: Callable[[int], Sequence[Drawn]]
) -> list[list[int]]:
    """Drop the masks of all parts that overlap with better ones.

    The answer is that of non-maximum suppression over all masks at once, but only boxes and scores
    are held in memory; masks are read again where boxes meet.

    Parameters
    ----------
    counts : sequence of int
        Number of masks in each part.
    read : callable
        Returns the masks of a part.

    Returns
    -------
    list of list of int
        The masks kept in each part, by their places in it, ascending.
    """
    read = lru_cache(PARTS_IN_MEMORY)(read)
    boxes = np.zeros((sum(counts), 4), np.int64)
    scores = np.zeros(len(boxes))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    extents = np.zeros((len(counts), 4), np.int64)
    for part, count in enumerate(counts):
        for i, mask in enumerate(read(part) if count else ()):
            boxes[starts[part] + i] = mask.box
            scores[starts[part] + i] = mask.score
        if count:
            of_part = boxes[starts[part] : starts[part + 1]]
            extents[part] = (*of_part[:, :2].min(axis=0), *of_part[:, 2:].max(axis=0))
    rivals: dict[int, list[int]] = {}
    for part, count in enumerate(counts):
        if not count:
            continue
        near = [int(p) for p in np.flatnonzero(meeting(extents, extents[part])) if p <= part]
        for other in near:
            if not counts[other]:
                continue
            for i in range(int(starts[part]), int(starts[part + 1])):
                stop = i if other == part else int(starts[other + 1])
                start = int(starts[other])
                for j in start + np.flatnonzero(meeting(boxes[start:stop], boxes[i])):
                    a, b = read(part)[i - starts[part]], read(other)[int(j) - start]
                    common = intersection(a.data, a.box, b.data, b.box)
                    if common > COVERED * min(a.area, b.area):
                        rivals.setdefault(i, []).append(int(j))
                        rivals.setdefault(int(j), []).append(i)
    dropped = np.zeros(len(boxes), np.bool_)
    # Best first; of equals the larger one, then the one that was found first.
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for i in np.lexsort((np.arange(len(boxes)), -areas, -scores)):
        if not dropped[i]:
            dropped[rivals.get(int(i), [])] = True
    return [
        [i for i in range(count) if not dropped[starts[part] + i]]
        for part, count in enumerate(counts)
    ]


def meeting(
    boxes: npt.NDArray[np.int64], box: npt.NDArray[np.int64] | Box
) -> npt.NDArray[np.bool_]:
    """Tell which boxes, (n, 4), share a pixel with a box."""
    return np.asarray(
        (boxes[:, 0] < box[2])
        & (boxes[:, 1] < box[3])
        & (boxes[:, 2] > box[0])
        & (boxes[:, 3] > box[1])
    )
