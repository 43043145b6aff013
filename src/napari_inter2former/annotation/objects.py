"""The current object, accepted ones, and what of them goes into labels."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_inter2former._depth import squared_depth
from napari_inter2former.annotation.found import FoundObjects
from napari_inter2former.annotation.labelling import LabelEdit, what_is_left
from napari_inter2former.annotation.planes import Plane
from napari_inter2former.prompts import Click

__all__ = ["Accepted", "MaskLike", "State", "Write"]

Box = tuple[int, int, int, int]
Labels = npt.NDArray[np.integer[Any]]


class MaskLike(Protocol):
    """What the session needs of a mask: pixels in a box (r0, c0, r1, c1)."""

    @property
    def data(self) -> npt.NDArray[np.bool_]:
        """Pixels inside the box, (h, w)."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(r0, c0, r1, c1) in pixels of the plane."""


@dataclass(frozen=True, eq=False)
class Accepted:
    """An object in the labels: enough to open it again.

    Parameters
    ----------
    number : int
        Its label.
    target : hashable
        Names the labels.
    edit : LabelEdit
        Its pixels.
    state : State
        Its clicks, and perhaps its mask.
    clicked : bool
        Whether it was accepted in this session, and not found in the labels.
    """

    number: int
    target: Hashable
    edit: LabelEdit
    state: State
    clicked: bool = True

    @property
    def key(self) -> tuple[Hashable, Plane, int]:
        """What tells it from others: the labels, the plane, the number."""
        assert self.state.plane is not None
        return self.target, self.state.plane, self.number

    @property
    def write(self) -> Write:
        """What puts it into the labels."""
        assert self.state.plane is not None
        return Write(self.target, self.state.plane, self.edit)

    def holds(self, row: int, column: int) -> bool:
        """Whether a pixel of its plane belongs to it."""
        r0, c0, r1, c1 = self.edit.box
        return r0 <= row < r1 and c0 <= column < c1 and bool(self.edit.where[row - r0, column - c0])

    def as_it_is(self, view: Labels) -> Accepted:
        """Return it without the pixels that were taken from it since.

        Parameters
        ----------
        view : array of int, (h, w)
            The labels inside ``edit.box``.
        """
        return replace(self, edit=what_is_left(view, self.edit))

    @classmethod
    def of_labels(cls, target: Hashable, plane: Plane, box: Box, data: Labels) -> Accepted:
        """Take up an object that something else put into the labels, as if clicked in its middle.

        Parameters
        ----------
        target : hashable
            Names the labels.
        plane : Plane
            Where it is.
        box : tuple of int
            (r0, c0, r1, c1), in pixels of the plane.
        data : array of int, (h, w)
            Its number where it is, 0 elsewhere.
        """
        where = data != 0
        row, column = divmod(int(np.argmax(squared_depth(where))), where.shape[1])
        click = Click(box[0] + row, box[1] + column)
        edit = LabelEdit(box, where, np.zeros((), data.dtype), int(data.max()))
        return cls(edit.value, target, edit, State((click,), plane), clicked=False)


@dataclass(frozen=True, eq=False)
class State:
    """The current object.

    Parameters
    ----------
    clicks : tuple of Click
        In the order they were made.
    plane : Plane, optional
        Where the clicks are; None without clicks.
    mask : MaskLike, optional
        The mask for exactly these clicks; None if it isn't known (yet).
    reopened : Accepted, optional
        The accepted object that is being corrected.
    """

    clicks: tuple[Click, ...] = ()
    plane: Plane | None = None
    mask: MaskLike | None = None
    reopened: Accepted | None = None

    def without_mask(self, above: int = 0) -> State:
        """Return it without its mask, if that has more pixels than these."""
        large = self.mask is not None and self.mask.data.size > above
        return replace(self, mask=None) if large else self


@dataclass(frozen=True, eq=False)
class Write:
    """A label edit to do (or, not `forward`, to undo) in `plane` of the labels `target`."""

    target: Hashable
    plane: Plane
    edit: LabelEdit | FoundObjects
    forward: bool = True

    def back(self) -> Write:
        """Return the opposite."""
        return replace(self, forward=not self.forward)
