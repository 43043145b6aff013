"""Objects in one encoded window: click a grid, keep what survives further clicks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_inter2former.everything._shapes import (
    Shape,
    cut_out,
    intersection,
    overlaps,
    spread_points,
)

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
COVERED = 0.6
"""A mask that shares more than this part of itself with a better one is dropped."""
HOPELESS = 0.25
"""A mask whose intersection over union with that of another click inside it is lower is dropped."""

BATCH = 16
"""Clicks between two looks at whether the search is still wanted."""

Click = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask that may be an object.

    Attributes
    ----------
    shape : Shape
        In pixels of the window; drawn by a click at its centre.
    centre : tuple of int
        That click.
    score : float
        0 to 1: how well further clicks inside the mask draw it again.
    """

    shape: Shape
    centre: Click
    score: float


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

    A click on background draws something too, but something else wherever it lies, while every
    click inside an object draws the same mask. So each mask is clicked again at its centre and
    far from it, and its score is the agreement of what these clicks draw.

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
    # Most of what lies on background fails the first test, and costs no more.
    far = [_points(shape, 2)[1] for shape in drawn]
    tested = zip(drawn, _draw(model, features, far, cancel, keep_all=True), strict=True)
    passed = [(shape, other) for shape, other in tested if overlaps(shape, other) >= HOPELESS]
    centres = [_points(shape, 1)[0] for shape, _ in passed]
    redrawn = _draw(model, features, centres, cancel)
    first_test = {
        id(shape): other
        for shape, (_, other) in zip(redrawn, passed, strict=True)
        if shape is not None
    }
    centred = _unique(redrawn)
    points = [_points(shape, 2) for shape in centred]
    second_test = _draw(model, features, [far for _, far in points], cancel, keep_all=True)
    return without_duplicates(
        Candidate(shape, centre, _agreement(shape, (first_test[id(shape)], again)))
        for shape, (centre, _), again in zip(centred, points, second_test, strict=True)
    )


def without_duplicates(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Keep the best of those that overlap (non-maximum suppression), best first."""
    kept: list[Candidate] = []
    for one in sorted(candidates, key=lambda c: (-c.score, c.centre)):
        shape = one.shape
        if all(
            intersection(shape.data, shape.box, other.shape.data, other.shape.box)
            <= COVERED * min(shape.area, other.shape.area)
            for other in kept
        ):
            kept.append(one)
    return kept


def _draw(
    model: Inter2Former,
    features: ImageFeatures,
    clicks: Sequence[Click],
    cancel: Callable[[], None],
    keep_all: bool = False,
) -> list[Shape | None]:
    """Return what each click draws; None for nothing of use."""
    from napari_inter2former.everything._decode import decode_first_clicks  # imports torch

    shapes: list[Shape | None] = []
    for start in range(0, len(clicks), BATCH):
        cancel()
        part = clicks[start : start + BATCH]
        for click, piece in zip(part, decode_first_clicks(model, features, part), strict=True):
            shape = cut_out(piece, click, features.shape)
            if shape is not None and not keep_all:
                r0, c0, r1, c1 = piece.frame
                too_large = shape.area > LARGEST_SHARE * (r1 - r0) * (c1 - c0)
                if shape.area < SMALLEST or shape.cut or too_large:
                    shape = None
            shapes.append(shape)
    return shapes


def _unique(shapes: Iterable[Shape | None]) -> list[Shape]:
    """Keep the most certain one of masks that are nearly the same."""
    kept: list[Shape] = []
    there = (shape for shape in shapes if shape is not None)
    for shape in sorted(there, key=lambda s: (-s.certainty, s.box)):
        if all(overlaps(shape, other) <= SAME for other in kept):
            kept.append(shape)
    return kept


def _points(shape: Shape, count: int) -> list[Click]:
    r0, c0 = shape.box[:2]
    return [(r0 + r, c0 + c) for r, c in spread_points(shape.data, count)]


def _agreement(shape: Shape, others: Sequence[Shape | None]) -> float:
    values = [overlaps(shape, other) for other in others]
    return sum(values) / len(values)
