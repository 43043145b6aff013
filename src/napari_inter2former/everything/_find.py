"""Objects in one encoded window: click a grid, then the middle of what was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_inter2former.everything._merge import surviving
from napari_inter2former.everything._shapes import Shape, cut_out, deepest, overlaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_inter2former.everything._shapes import Box
    from napari_inter2former.model import Inter2Former
    from napari_inter2former.model.inter2former import ImageFeatures

__all__ = ["Candidate", "click_grid", "find_objects"]

SMALLEST = 64
"""Masks of fewer input pixels are specks."""
LARGEST_SHARE = 0.75
"""Masks that fill more of their frame than this are background."""
SAME = 0.6
"""Masks with a higher intersection over union are one object."""
HOPELESS = 0.4
"""Masks of a lower score are not clicked again."""

BATCH = 16
"""Clicks between two looks at whether the search is still wanted."""

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
    """Lay clicks on the centres of tokens.

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

    return [(r, c) for r in places(area[0], area[2]) for c in places(area[1], area[3])]


def find_objects(
    model: Inter2Former,
    features: ImageFeatures,
    clicks: Sequence[Click],
    cancel: Callable[[], None] = lambda: None,
) -> list[Candidate]:
    """Find the objects that clicks on a grid hit.

    Where a click lies in its object, it lies by chance, and the network was trained on first clicks
    near the middle. So each mask is drawn again by a click at its middle. A click on background
    draws something too; the network's own estimate of the IoU tells it from objects.

    Parameters
    ----------
    model : Inter2Former
        The network.
    features : ImageFeatures
        Of the window.
    clicks : sequence of (int, int)
        Pixels of the window.
    cancel : callable, optional
        Called now and then; what it raises ends the search.

    Returns
    -------
    list of Candidate
        Best first, without duplicates.
    """
    drawn = _unique(_draw(model, features, clicks, cancel))
    centres = [_middle(shape) for shape in drawn if shape.score >= HOPELESS]
    redrawn = _draw(model, features, centres, cancel)
    return [Candidate(shape, _middle(shape)) for shape in surviving(_unique(redrawn))]


def _draw(
    model: Inter2Former,
    features: ImageFeatures,
    clicks: Sequence[Click],
    cancel: Callable[[], None],
) -> list[Shape]:
    """Return what clicks draw that may be objects."""
    from napari_inter2former.everything._decode import decode_first_clicks  # imports torch

    shapes: list[Shape] = []
    for start in range(0, len(clicks), BATCH):
        cancel()
        part = clicks[start : start + BATCH]
        for click, piece in zip(part, decode_first_clicks(model, features, part), strict=True):
            shape = cut_out(piece, click, features.shape)
            if shape is None or shape.area < SMALLEST or shape.cut:
                continue
            r0, c0, r1, c1 = piece.frame
            if shape.area <= LARGEST_SHARE * (r1 - r0) * (c1 - c0):
                shapes.append(shape)
    return shapes


def _unique(shapes: Iterable[Shape]) -> list[Shape]:
    """Keep the best one of masks that are nearly the same."""
    kept: list[Shape] = []
    for shape in sorted(shapes, key=lambda s: (-s.score, s.box)):
        if all(overlaps(shape, other) <= SAME for other in kept):
            kept.append(shape)
    return kept


def _middle(shape: Shape) -> Click:
    r0, c0 = shape.box[:2]
    row, column = deepest(shape.data)
    return r0 + row, c0 + column
