"""Objects in one encoded window: click many places, then the middle of what was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former.everything._merge import meeting, surviving
from napari_inter2former.everything._shapes import Shape, cut_out, deepest, overlaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_inter2former.everything._shapes import Box
    from napari_inter2former.model import Inter2Former
    from napari_inter2former.model.inter2former import ImageFeatures

__all__ = ["Candidate", "click_grid", "draw_shapes", "find_objects", "middle"]

SMALLEST = 64
"""Masks of fewer input pixels are specks."""
LARGEST_SHARE = 0.75
"""Masks that fill more of their frame than this are background."""
SAME = 0.6
"""Masks with a higher intersection over union are one object."""
HOPELESS = 0.3
"""Masks of a lower score are not clicked again."""
SETTLED = 0.8
"""Inside a mask of this score nothing else is looked for."""

BATCH = 16
"""Clicks between two looks at what is found, and at whether the search is still wanted."""

Click = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask that may be an object.

    Attributes
    ----------
    shape : Shape
        In pixels of the window.
    centre : tuple of int
        Its deepest pixel.
    """

    shape: Shape
    centre: Click

    @property
    def score(self) -> float:
        """How good the mask is, 0 to 1; see `Shape`."""
        return self.shape.score


def click_grid(area: Box, spacing: int) -> list[Click]:
    """Lay clicks on the centres of tokens, those of a coarser grid first.

    Parameters
    ----------
    area : tuple of int
        (r0, c0, r1, c1) in pixels of the window.
    spacing : int
        Distance of the clicks, a multiple of 16.
    """

    def places(start: int, stop: int) -> list[int]:
        first = start + (spacing // 16 - 1) // 2 * 16 + 8
        # A strip narrower than the spacing gets a row of clicks all the same.
        return list(range(first, stop, spacing)) or [(start + stop) // 2]

    rows, columns = places(area[0], area[2]), places(area[1], area[3])
    turns = (0, 0), (1, 1), (0, 1), (1, 0)
    return [(r, c) for i, j in turns for r in rows[i::2] for c in columns[j::2]]


def find_objects(
    model: Inter2Former,
    features: ImageFeatures,
    clicks: Iterable[Click],
    cancel: Callable[[], None] = lambda: None,
) -> list[Candidate]:
    """Find the objects that clicks hit.

    Where a click lies in its object, it lies by chance, and the network was trained on first clicks
    near the middle. So each mask is drawn again by a click at its middle. A click on background
    draws something too; the network's own estimate of the IoU tells it from objects. Clicks inside
    objects that were found well by earlier ones are left out.

    Parameters
    ----------
    model : Inter2Former
        The network.
    features : ImageFeatures
        Of the window.
    clicks : iterable of (int, int)
        Pixels of the window: middles of objects that are seen, then a grid.
    cancel : callable, optional
        Called now and then; what it raises ends the search.

    Returns
    -------
    list of Candidate
        Best first, without duplicates.
    """
    settled = np.zeros(features.shape, np.bool_)
    first = Distinct()
    again: list[Shape] = []
    waiting = iter(clicks)
    while batch := list(islice((click for click in waiting if not settled[click]), BATCH)):
        cancel()
        drawn = [s for s in draw_shapes(model, features, batch) if s.score >= HOPELESS]
        new = [shape for shape in _best_first(drawn) if first.add(shape)]
        cancel()
        for shape in draw_shapes(model, features, [middle(shape) for shape in new]):
            # The frame lies round the middle: what is cut even so is no object, or too large.
            if shape.cut:
                continue
            again.append(shape)
            if shape.score >= SETTLED:
                r0, c0, r1, c1 = shape.box
                settled[r0:r1, c0:c1] |= shape.data
    distinct = Distinct()
    found = [shape for shape in _best_first(again) if distinct.add(shape)]
    return [Candidate(shape, middle(shape)) for shape in surviving(found)]


def draw_shapes(
    model: Inter2Former, features: ImageFeatures, clicks: Sequence[Click]
) -> list[Shape]:
    """Return what clicks draw that may be objects, or parts of them."""
    from napari_inter2former.everything._decode import decode_first_clicks  # imports torch

    shapes: list[Shape] = []
    for click, piece in zip(clicks, decode_first_clicks(model, features, clicks), strict=True):
        shape = cut_out(piece, click, features.shape)
        if shape is None or shape.area < SMALLEST:
            continue
        r0, c0, r1, c1 = piece.frame
        if shape.area <= LARGEST_SHARE * (r1 - r0) * (c1 - c0):
            shapes.append(shape)
    return shapes


class Distinct:
    """Shapes of which no two are nearly the same."""

    def __init__(self) -> None:
        self._shapes: list[Shape] = []
        self._boxes = np.zeros((64, 4), np.int64)

    def add(self, shape: Shape) -> bool:
        """Keep a shape and return True, unless one like it is there."""
        count = len(self._shapes)
        near = np.flatnonzero(meeting(self._boxes[:count], shape.box))
        if any(overlaps(shape, self._shapes[i]) > SAME for i in near):
            return False
        if count == len(self._boxes):
            self._boxes = np.concatenate([self._boxes, np.zeros_like(self._boxes)])
        self._boxes[count] = shape.box
        self._shapes.append(shape)
        return True


def _best_first(shapes: Iterable[Shape]) -> list[Shape]:
    return sorted(shapes, key=lambda shape: (-shape.score, shape.box))


def middle(shape: Shape) -> Click:
    """Return the deepest pixel of a shape."""
    r0, c0 = shape.box[:2]
    row, column = deepest(shape.data)
    return r0 + row, c0 + column
