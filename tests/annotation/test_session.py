"""The session: one history over clicks and objects, and no lost or foreign pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from napari_inter2former.annotation import (
    NothingToAcceptError,
    Plane,
    Rule,
    Session,
    Write,
    plan_write,
)
from napari_inter2former.annotation.found import FoundMask, FoundObjects
from napari_inter2former.annotation.objects import Accepted
from napari_inter2former.prompts import Click

PLANE = Plane((0, 1), (0, 0), (20, 20))


@dataclass(frozen=True)
class Mask:
    data: Any
    box: tuple[int, int, int, int]


def mask_of(clicks: tuple[Click, ...]) -> Mask:
    """A 3 x 3 square around every click."""
    full = np.zeros((20, 20), bool)
    for click in clicks:
        r, c = int(click.row), int(click.column)
        full[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2] = click.positive
    rows, columns = np.nonzero(full)
    if rows.size == 0:
        return Mask(np.zeros((0, 0), bool), (0, 0, 0, 0))
    box = (int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
    return Mask(full[box[0] : box[2], box[1] : box[3]], box)


class Desk:
    """A session with labels, written as the widget writes them."""

    def __init__(self) -> None:
        self.session = Session()
        self.labels = np.zeros((20, 20), np.int32)
        self.next = 1

    def do(self, step: Any) -> Any:
        if step is not None and step.write is not None:
            edit = step.write.edit
            view = self.labels[step.write.plane.region(edit.box)]
            due, values = plan_write(view, edit, step.write.forward)
            view[due] = values
        return step

    def click(self, row: float, column: float, positive: bool = True) -> None:
        clicks = (*self.session.state.clicks, Click(row, column, positive))
        self.do(self.session.set_clicks(clicks, PLANE))
        self.answer()

    def answer(self) -> None:
        if self.session.pending:
            mask = mask_of(self.session.state.clicks)
            assert self.session.receive(self.session.request, mask)

    def accept(self, rule: Rule = Rule.KEEP_OTHERS) -> int:
        mask = self.session.check_accept()
        r0, c0, r1, c1 = mask.box
        again = self.session.state.reopened
        number = self.next if again is None else again.number
        self.do(self.session.accept(self.labels[r0:r1, c0:c1], number, "labels", rule))
        self.next = max(self.next, number + 1)
        return number

    def reopen(self, number: int) -> Any:
        record = self.session.accepted["labels", PLANE, number]
        view = self.labels[PLANE.region(record.edit.box)]
        return self.do(self.session.reopen(record.as_it_is(view)))


def test_click_answer_accept() -> None:
    desk = Desk()
    desk.click(5, 5)
    number = desk.accept()
    assert (desk.labels == number).sum() == 9
    assert desk.session.state.clicks == ()
    assert desk.session.accepted["labels", PLANE, number].state.clicks == (Click(5, 5),)


def test_stale_answers_are_dropped() -> None:
    session = Session()
    first = session.set_clicks((Click(1, 1),), PLANE)
    second = session.set_clicks((Click(1, 1), Click(2, 2)), PLANE)
    assert first is not None
    assert second is not None
    assert not session.receive(first.request, mask_of((Click(1, 1),)))
    assert session.pending
    assert session.receive(second.request, mask_of(session.state.clicks))
    # Once only.
    assert not session.receive(second.request, mask_of(()))


def test_answers_after_discard_undo_and_clear_are_stale() -> None:
    session = Session()
    for away in (session.discard, session.undo, session.clear):
        step = session.set_clicks((Click(1, 1),), PLANE)
        assert step is not None
        away()
        assert not session.receive(step.request, mask_of((Click(1, 1),)))
        assert session.state.mask is None


def test_same_clicks_are_no_change() -> None:
    session = Session()
    session.set_clicks((Click(1, 1),), PLANE)
    assert session.set_clicks((Click(1, 1),), PLANE) is None


@pytest.mark.parametrize(
    ("clicks", "match"),
    [((), "click an object first"), ((Click(3, 3, False),), "mask is empty")],
)
def test_nothing_to_accept(clicks: tuple[Click, ...], match: str) -> None:
    desk = Desk()
    desk.session.set_clicks(clicks, PLANE)
    desk.answer()
    with pytest.raises(NothingToAcceptError, match=match):
        desk.accept()


def test_accept_before_the_answer() -> None:
    session = Session()
    session.set_clicks((Click(1, 1),), PLANE)
    with pytest.raises(NothingToAcceptError, match="still being computed"):
        session.check_accept()


def test_undo_gives_back_the_mask_without_a_request() -> None:
    desk = Desk()
    desk.click(5, 5)
    desk.accept()
    step = desk.do(desk.session.undo())
    assert step.request is None
    assert desk.session.state.mask is not None
    assert not desk.labels.any()


def test_a_new_click_ends_redo() -> None:
    desk = Desk()
    desk.click(5, 5)
    desk.session.undo()
    assert desk.session.can_redo
    desk.click(6, 6)
    assert not desk.session.can_redo
    assert desk.session.redo() is None


def test_reopen_correct_accept_and_back() -> None:
    desk = Desk()
    desk.click(5, 5)
    number = desk.accept()
    desk.click(15, 15)
    desk.accept()
    before = desk.labels.copy()
    desk.reopen(number)
    assert not (desk.labels == number).any()
    desk.click(5, 8)
    assert desk.accept() == number
    assert (desk.labels == number).sum() == 18
    for _ in range(3):
        desk.do(desk.session.undo())
    np.testing.assert_array_equal(desk.labels, before)
    assert ("labels", PLANE, number) in desk.session.accepted


def test_discarding_a_reopened_object_restores_it() -> None:
    desk = Desk()
    desk.click(5, 5)
    number = desk.accept()
    before = desk.labels.copy()
    desk.reopen(number)
    desk.click(9, 9)
    desk.do(desk.session.discard())
    np.testing.assert_array_equal(desk.labels, before)
    assert ("labels", PLANE, number) in desk.session.accepted


def test_reopen_needs_a_finished_object() -> None:
    desk = Desk()
    desk.click(5, 5)
    number = desk.accept()
    desk.click(9, 9)
    with pytest.raises(NothingToAcceptError, match="Finish"):
        desk.reopen(number)


def test_a_reopened_object_is_given_back_as_the_user_left_it() -> None:
    desk = Desk()
    desk.click(5, 5)
    number = desk.accept()
    desk.labels[5, 4:7] = 0  # erased
    desk.labels[12, 12] = number  # painted
    before = desk.labels.copy()
    desk.reopen(number)
    assert (desk.labels == number).sum() == 1
    desk.do(desk.session.discard())
    np.testing.assert_array_equal(desk.labels, before)
    desk.reopen(number)
    desk.accept()
    assert (desk.labels == number).sum() == 10


def test_an_object_of_unknown_mask_asks_for_it_when_it_is_opened() -> None:
    session = Session()
    data = np.full((3, 3), 7)
    step = session.reopen(Accepted.of_labels("labels", PLANE, (4, 4, 7, 7), data))
    assert step.request is not None
    assert session.receive(step.request, mask_of(session.state.clicks))


def test_an_object_from_elsewhere_does_not_count_as_accepted_when_it_is_left_as_it_was() -> None:
    session = Session()
    found = Accepted.of_labels("labels", PLANE, (4, 4, 7, 7), np.full((3, 3), 7))
    session.reopen(found)
    session.discard()
    assert not session.accepted
    session.remove(found)
    session.undo()
    assert not session.accepted


def test_pixels_that_an_object_gave_up_do_not_go_back_to_it() -> None:
    desk = Desk()
    desk.click(5, 5)
    first = desk.accept()
    desk.click(5, 7)
    second = desk.accept(Rule.REPLACE_OTHERS)
    assert (desk.labels == first).sum() == 6
    # As long as the first one is as it was, it gets its pixels back.
    desk.reopen(second)
    assert (desk.labels == first).sum() == 9
    desk.do(desk.session.discard())
    desk.reopen(first)
    desk.click(5, 6, positive=False)
    desk.accept()
    before = desk.labels.copy()
    assert (before == first).sum() == 3
    desk.reopen(second)
    assert (desk.labels == first).sum() == 3
    desk.do(desk.session.discard())
    np.testing.assert_array_equal(desk.labels, before)


def test_other_weights_leave_no_mask_of_the_former_ones_in_the_history() -> None:
    desk = Desk()
    for place in (3, 6, 9):
        desk.click(place, place)
    desk.session.undo()
    desk.session.ask_again()
    desk.answer()
    for travel in (desk.session.redo, desk.session.undo, desk.session.undo):
        step = travel()
        assert step is not None
        known = desk.session.state.mask is not None
        assert known is (len(desk.session.state.clicks) == 2)
        assert (step.request is None) is known
        desk.answer()


def test_the_history_keeps_no_large_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_inter2former.annotation.session.LARGE", 8)
    desk = Desk()
    desk.click(5, 5)
    number = desk.accept()
    step = desk.session.undo()
    assert step is not None
    assert step.request is not None
    desk.do(step)
    desk.answer()
    assert desk.accept() == number + 1
    assert desk.session.accepted["labels", PLANE, number + 1].state.mask is None


class Annotating(RuleBasedStateMachine):
    """Any sequence of actions: undoing all gives empty labels, redoing all gives them back."""

    @initialize()
    def start(self) -> None:
        self.desk = Desk()

    @rule(row=st.integers(0, 19), column=st.integers(0, 19), positive=st.booleans())
    def click(self, row: int, column: int, positive: bool) -> None:
        self.desk.click(row, column, positive)

    @rule()
    def accept(self) -> None:
        before = self.desk.labels.copy()
        try:
            number = self.desk.accept()
        except NothingToAcceptError:
            return
        changed = before != self.desk.labels
        assert (before[changed] == 0).all()
        assert (self.desk.labels[changed] == number).all()

    @rule()
    def discard(self) -> None:
        self.desk.do(self.desk.session.discard())

    @rule()
    def undo(self) -> None:
        self.desk.do(self.desk.session.undo())
        self.desk.answer()

    @rule()
    def redo(self) -> None:
        self.desk.do(self.desk.session.redo())
        self.desk.answer()

    @precondition(lambda self: self.desk.session.accepted and not self.desk.session.state.clicks)
    @rule(data=st.data())
    def reopen(self, data: Any) -> None:
        if self.desk.session.state.reopened is None:
            numbers = sorted(number for *_, number in self.desk.session.accepted)
            self.desk.reopen(data.draw(st.sampled_from(numbers)))

    @precondition(lambda self: self.desk.session.accepted)
    @rule(data=st.data())
    def remove(self, data: Any) -> None:
        records = list(self.desk.session.accepted.values())
        record = data.draw(st.sampled_from(records))
        view = self.desk.labels[PLANE.region(record.edit.box)]
        self.desk.do(self.desk.session.remove(record.as_it_is(view)))

    @invariant()
    def the_labels_are_the_accepted_objects(self) -> None:
        if hasattr(self, "desk"):
            numbers = set(np.unique(self.desk.labels).tolist()) - {0}
            assert numbers == {number for *_, number in self.desk.session.accepted}

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        after = self.desk.labels.copy()
        steps = 0
        while self.desk.session.can_undo:
            self.desk.do(self.desk.session.undo())
            steps += 1
        assert not self.desk.labels.any()
        assert not self.desk.session.accepted
        assert self.desk.session.state.clicks == ()
        for _ in range(steps):
            if not self.desk.session.can_redo:
                break
            self.desk.do(self.desk.session.redo())
        np.testing.assert_array_equal(self.desk.labels[after > 0], after[after > 0])


Annotating.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestAnnotating = Annotating.TestCase


def test_a_search_is_one_entry_of_the_history() -> None:
    desk = Desk()
    desk.click(5, 5)
    state = desk.session.state
    found = FoundObjects((FoundMask.of(np.ones((2, 2), np.bool_), (8, 8, 10, 10)),), 4)
    write = Write(0, PLANE, found)
    desk.session.add_found(write)
    assert desk.session.state is state
    back = desk.session.undo()
    assert back is not None
    assert back.name == "search"
    assert back.write is not None
    assert (back.write.edit, back.write.forward) == (found, False)
    assert desk.session.state is state
    again = desk.session.redo()
    assert again is not None
    assert again.write is not None
    assert (again.write.edit, again.write.forward) == (found, True)
    assert desk.session.undo() is not None
    assert desk.session.undo() is not None
    assert not desk.session.state.clicks
    assert not desk.session.can_undo
