"""The state of an annotation session, and one history over clicks and accepted objects.

The session decides; it writes no labels and computes no masks. Every change returns a `Step` that
says which label edits to write and whether a new mask has to be asked for.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.annotation.labelling import Rule, plan_edit
from napari_inter2former.annotation.objects import Accepted, MaskLike, State, Write
from napari_inter2former.annotation.planes import Plane
from napari_inter2former.errors import Inter2FormerError
from napari_inter2former.prompts import Click

__all__ = ["NothingToAcceptError", "Session", "Step"]

LARGE = 1 << 24
"""Masks of more pixels aren't kept in the history, which would fill the memory: they are asked for
again."""


class NothingToAcceptError(Inter2FormerError):
    """There is no mask to accept yet; the message says why."""


@dataclass(frozen=True, eq=False)
class Step:
    """What a change of the session asks for.

    Parameters
    ----------
    name : str
        What was done: "click", "box", "accept", "discard", "reopen", "remove" or "search".
    write : Write, optional
        Labels to write.
    request : int, optional
        Number of the mask request to send for the present clicks; None if the mask is known.
    """

    name: str
    write: Write | None = None
    request: int | None = None


@dataclass(frozen=True, eq=False)
class _Past:
    """One entry of the history: how to get back to (or forward to) a state."""

    name: str
    state: State
    write: Write | None = None
    removed: Accepted | None = None
    added: Accepted | None = None


class Session:
    """Clicks and mask of the current object, the accepted objects, undo and redo.

    Masks are asked for by number: a change of the clicks makes a new request number, and
    `receive` takes a mask for the newest number only.
    """

    def __init__(self) -> None:
        self.state = State()
        self.accepted: dict[tuple[Hashable, Plane, int], Accepted] = {}
        self.request = 0
        self._undo: list[_Past] = []
        self._redo: list[_Past] = []

    @property
    def pending(self) -> bool:
        """Whether there are clicks whose mask isn't known yet."""
        return bool(self.state.clicks) and self.state.mask is None

    @property
    def can_undo(self) -> bool:
        """Whether `undo` would do something."""
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        """Whether `redo` would do something."""
        return bool(self._redo)

    def set_clicks(
        self, clicks: tuple[Click, ...], plane: Plane, name: str = "click"
    ) -> Step | None:
        """Replace the current object's clicks: one was added, moved or deleted.

        Parameters
        ----------
        clicks : tuple of Click
            All clicks of the object.
        plane : Plane
            Where they are.
        name : str
            What was done.

        Returns
        -------
        Step, optional
            None if nothing changed.
        """
        if clicks == self.state.clicks:
            return None
        state = State(clicks, plane if clicks else None, None, self.state.reopened)
        self._go(_Past(name, state))
        return Step(name, None, self._ask())

    def receive(self, request: int, mask: MaskLike) -> bool:
        """Take the mask of a request.

        Returns
        -------
        bool
            False if the request is stale: the clicks have changed since, and the mask is dropped.
        """
        if request != self.request or not self.pending:
            return False
        self.state = replace(self.state, mask=mask)
        return True

    def ask_again(self) -> int | None:
        """Forget all masks (the model or image changed); number of the request to send, if any."""
        self.state = self.state.without_mask()
        for history in (self._undo, self._redo):
            history[:] = [replace(past, state=past.state.without_mask()) for past in history]
        return self._ask()

    def retry(self) -> int | None:
        """Return the number of another request for the same mask, after one that failed."""
        return self._ask()

    def check_accept(self) -> MaskLike:
        """Return the mask that `accept` would write.

        Raises
        ------
        NothingToAcceptError
            If there are no clicks, no mask yet, or the mask is empty.
        """
        if not self.state.clicks:
            raise NothingToAcceptError("There is nothing to accept yet: click an object first.")
        if self.state.mask is None:
            raise NothingToAcceptError("The mask is still being computed.")
        if not self.state.mask.data.any():
            raise NothingToAcceptError(
                "The mask is empty: add a foreground click on the object, or press Esc."
            )
        return self.state.mask

    def accept(
        self,
        view: npt.NDArray[np.integer[Any]],
        number: int,
        target: Hashable,
        rule: Rule = Rule.KEEP_OTHERS,
    ) -> Step:
        """Turn the mask into an object.

        Parameters
        ----------
        view : array of int, (h, w)
            The labels inside the mask's box.
        number : int
            The object's number, above 0.
        target : hashable
            Names the labels that get it.
        rule : Rule
            What happens where other objects are.

        Returns
        -------
        Step
            Its `write` is to be written.

        Raises
        ------
        NothingToAcceptError
            If there is no mask, or other objects cover all of it.
        """
        mask = self.check_accept()
        edit = plan_edit(view, mask.data, mask.box, number, rule)
        if edit.area == 0:
            raise NothingToAcceptError(
                "Other objects cover the whole mask, and they are kept. Add a click beside them, "
                "or choose to replace other objects."
            )
        state = replace(self.state, reopened=None).without_mask(LARGE)
        record = Accepted(number, target, edit, state)
        self._go(_Past("accept", State(), record.write, added=record))
        self._ask()
        return Step("accept", record.write)

    def add_found(self, write: Write) -> None:
        """Note that what a search found goes into the labels; the current object stays."""
        self._go(_Past("search", self.state, write))

    def discard(self) -> Step | None:
        """Drop the current object; one that was opened again becomes as it was.

        Returns
        -------
        Step, optional
            None if there is no current object.
        """
        record = self.state.reopened
        if not self.state.clicks and record is None:
            return None
        write = record.write if record is not None else None
        self._go(_Past("discard", State(), write, added=record))
        self._ask()
        return Step("discard", write)

    def reopen(self, record: Accepted) -> Step:
        """Make an object the current one, with its clicks.

        Parameters
        ----------
        record : Accepted
            The object as it is in the labels.

        Returns
        -------
        Step
            Its `write` takes the object out of the labels until it is accepted again.

        Raises
        ------
        NothingToAcceptError
            If the current object isn't finished.
        """
        if self.state.clicks or self.state.reopened is not None:
            raise NothingToAcceptError(
                "Finish the current object first: Enter accepts it, Esc discards it."
            )
        record = self._without_later(record)
        write, state = record.write.back(), replace(record.state, reopened=record)
        self._go(_Past("reopen", state, write, removed=record))
        return Step("reopen", write, self._ask())

    def remove(self, record: Accepted) -> Step:
        """Take an object out of the labels; the current one stays.

        Parameters
        ----------
        record : Accepted
            The object as it is in the labels.

        Returns
        -------
        Step
            Its `write` is to be written.
        """
        record = self._without_later(record)
        write = record.write.back()
        self._go(_Past("remove", self.state, write, removed=record))
        return Step("remove", write)

    def _without_later(self, record: Accepted) -> Accepted:
        """Let no pixels go back to objects that were accepted again since: these gave them up."""
        keys = list(self.accepted)
        after = keys[keys.index(record.key) + 1 :] if record.key in self.accepted else []
        later = [number for *place, number in after if tuple(place) == record.key[:2]]
        before = record.edit.before
        given_up = np.isin(before, later)
        if not given_up.any():
            return record
        before = np.where(given_up, 0, before).astype(before.dtype)
        return replace(record, edit=replace(record.edit, before=before))

    def undo(self) -> Step | None:
        """Go one step back, over clicks and accepted objects alike; None at the beginning."""
        return self._travel(self._undo, self._redo)

    def redo(self) -> Step | None:
        """Go one step forward again; None if nothing was undone."""
        return self._travel(self._redo, self._undo)

    def clear(self) -> None:
        """Forget everything; requests under way become stale."""
        self.state = State()
        self.accepted.clear()
        self._undo.clear()
        self._redo.clear()
        self._ask()

    def _ask(self) -> int | None:
        """Make requests under way stale; the number for a new one if there are clicks."""
        self.request += 1
        return self.request if self.pending else None

    def _go(self, step: _Past) -> None:
        """Make a change, and remember the way back."""
        self._undo.append(self._apply(step))
        self._redo.clear()

    def _apply(self, step: _Past) -> _Past:
        """Go to the state of `step`; return the step that leads back."""
        write = step.write.back() if step.write is not None else None
        state = self.state.without_mask(LARGE)
        back = _Past(step.name, state, write, removed=step.added, added=step.removed)
        self.state = step.state
        if step.removed is not None:
            self.accepted.pop(step.removed.key, None)
        if step.added is not None and step.added.clicked:
            self.accepted[step.added.key] = step.added
        return back

    def _travel(self, source: list[_Past], other: list[_Past]) -> Step | None:
        if not source:
            return None
        step = source.pop()
        other.append(self._apply(step))
        return Step(step.name, step.write, self._ask())
