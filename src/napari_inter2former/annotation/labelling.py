"""Which pixels of a labels image a mask may change, as pure functions on the mask's box.

Nothing here sees more of a labels image than the box of one mask, and no id is ever searched for
by scanning an image: `Ids` counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from napari_inter2former.errors import Inter2FormerError

__all__ = [
    "Ids",
    "LabelEdit",
    "OutOfIdsError",
    "Rule",
    "piece_at",
    "plan_edit",
    "plan_write",
    "what_is_left",
]

Box = tuple[int, int, int, int]
Bools = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.integer[Any]]


class OutOfIdsError(Inter2FormerError):
    """The labels' data type has no number left for another object."""


class Rule(Enum):
    """What happens where a new mask meets other objects."""

    KEEP_OTHERS = "keep"
    """Other objects stay as they are; the new one gets the background only."""

    REPLACE_OTHERS = "replace"
    """The new object takes every pixel of its mask."""


class Ids:
    """Give out object numbers, upwards, each once.

    Parameters
    ----------
    dtype : numpy data type
        Of the labels image: an integer type.
    used : int
        The largest number already in use; 0 for an empty image.

    Raises
    ------
    TypeError
        If `dtype` is not an integer type.
    """

    def __init__(self, dtype: npt.DTypeLike, used: int = 0) -> None:
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        if self.dtype.kind not in "iu":
            raise TypeError(f"Labels must be of an integer type, not {self.dtype}.")
        self.limit = int(np.iinfo(self.dtype).max)
        self.next = 1
        self.reserve(used)

    def reserve(self, used: int) -> None:
        """Never give out `used` nor anything below it."""
        self.next = max(self.next, int(used) + 1)

    def check(self) -> int:
        """Return the number that `take` would give.

        Returns
        -------
        int
            At least 1.

        Raises
        ------
        OutOfIdsError
            If the data type has no larger number.
        """
        if self.next > self.limit:
            raise OutOfIdsError(
                f"The labels layer has no free number left: its type {self.dtype} ends at "
                f"{self.limit}. Convert it to int32 (right-click the layer, Convert data type), "
                "or choose 'New labels layer'; the current object is kept meanwhile."
            )
        return self.next

    def take(self) -> int:
        """Give out the next number, and count on.

        Returns
        -------
        int
            At least 1.

        Raises
        ------
        OutOfIdsError
            If the data type has no larger number.
        """
        number = self.check()
        self.next += 1
        return number


@dataclass(frozen=True, eq=False)
class LabelEdit:
    """A change of a labels image inside one box, which can be done, undone and redone.

    Parameters
    ----------
    box : tuple of int
        (r0, c0, r1, c1), in pixels of the plane, inside the image.
    where : array of bool, (h, w)
        The pixels that change.
    before : array of int, () or (n,)
        Their value before the change, or, where they differed, their values in row-major order.
    value : int
        Their value after it.
    left_alone : int
        Pixels of the mask that other objects keep.
    """

    box: Box
    where: Bools
    before: Labels
    value: int
    left_alone: int = 0

    @property
    def area(self) -> int:
        """Number of pixels that change."""
        return int(np.count_nonzero(self.where))


def plan_edit(
    view: Labels, mask: Bools, box: Box, value: int, rule: Rule = Rule.KEEP_OTHERS
) -> LabelEdit:
    """Decide what a mask changes.

    Parameters
    ----------
    view : array of int, (h, w)
        The labels inside `box`; not changed, and not kept.
    mask : array of bool, (h, w)
        The object inside `box`; the edit may keep it, so don't change it.
    box : tuple of int
        (r0, c0, r1, c1), in pixels of the plane.
    value : int
        The object's number, above 0.
    rule : Rule
        What happens where other objects are.

    Returns
    -------
    LabelEdit
        `left_alone` counts the pixels that the rule keeps from the mask.

    Raises
    ------
    ValueError
        If the shapes differ or the number isn't above 0.
    """
    if view.shape != mask.shape or mask.shape != (box[2] - box[0], box[3] - box[1]):
        raise ValueError(f"The labels {view.shape}, mask {mask.shape} and box {box} don't match.")
    if value <= 0:
        raise ValueError(f"The number of an object must be above 0, not {value}.")
    where, left_alone = mask, 0
    if rule is Rule.KEEP_OTHERS:
        taken = mask & (view != 0) & (view != value)
        left_alone = int(np.count_nonzero(taken))
        if left_alone:
            where = mask & ~taken
    return LabelEdit(box, where, _before(view, where), value, left_alone)


def _before(view: Labels, where: Bools) -> Labels:
    """Return what `where` holds now: one value if it is the same everywhere, as it mostly is."""
    first = view[np.unravel_index(where.argmax(), where.shape)] if where.size else 0
    if np.all((view == first) | ~where):
        return np.array(first, dtype=view.dtype)
    return view[where]


def piece_at(
    read: Callable[[Box], Labels], shape: tuple[int, int], row: int, column: int
) -> tuple[Box, Labels]:
    """Cut the connected piece of an object that a pixel belongs to out of the labels.

    Parameters
    ----------
    read : callable
        Returns the labels inside a box of the plane, (h, w). Asked for little more than the piece.
    shape : tuple of int
        Of the plane.
    row, column : int
        The pixel.

    Returns
    -------
    box : tuple of int
        (r0, c0, r1, c1), the piece's bounding box.
    data : array of int, (h, w)
        The object's number on the piece, 0 elsewhere.
    """
    height, width = shape
    reach = 64
    while True:
        r0, c0 = max(row - reach, 0), max(column - reach, 0)
        r1, c1 = min(row + reach + 1, height), min(column + reach + 1, width)
        view = read((r0, c0, r1, c1))
        same = (view == view[row - r0, column - c0]).view(np.uint8)
        _, parts = cv2.connectedComponents(same, connectivity=8)
        piece = parts == parts[row - r0, column - c0]
        rows, columns = np.flatnonzero(piece.any(1)), np.flatnonzero(piece.any(0))
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        left, right = int(columns[0]), int(columns[-1]) + 1
        cut = (top == 0 < r0, left == 0 < c0, r0 + bottom == r1 < height, c0 + right == c1 < width)
        if not any(cut):
            data = np.where(piece, view, 0)[top:bottom, left:right]
            return (r0 + top, c0 + left, r0 + bottom, c0 + right), data
        reach *= 2


def plan_write(view: Labels, edit: LabelEdit, forward: bool = True) -> tuple[Bools, Labels]:
    """Find out what of an edit is to be written: ``view[due] = values`` does it.

    Pixels that something else has changed since are left as they are: going forward needs the
    value from before the edit, going back needs the edit's own value.

    Parameters
    ----------
    view : array of int, (h, w)
        The labels inside ``edit.box`` as they are now.
    edit : LabelEdit
        The change.
    forward : bool
        True to do it, False to undo it.

    Returns
    -------
    due : array of bool, (h, w)
        The pixels that change.
    values : array of int, () or (n,)
        What to write there, of the type of `view`: one value, or one for each of them.
    """
    several = edit.before.ndim > 0
    if not forward:
        due = edit.where & (view == edit.value)
        values = edit.before[due[edit.where]] if several else edit.before
        return due, values.astype(view.dtype, copy=False)
    if several:
        due = edit.where.copy()
        due[edit.where] = view[edit.where] == edit.before
    else:
        due = edit.where & (view == edit.before)
    return due, np.array(edit.value, dtype=view.dtype)


def what_is_left(view: Labels, edit: LabelEdit) -> LabelEdit:
    """Return an edit that was done without the pixels that something else has changed since.

    Parameters
    ----------
    view : array of int, (h, w)
        The labels inside ``edit.box`` as they are now.
    edit : LabelEdit
        The change.
    """
    where, before = plan_write(view, edit, forward=False)
    return replace(edit, where=where, before=before)
