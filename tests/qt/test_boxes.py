"""Boxes, drawn with a real mouse in a real window."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from canvas import Hand
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_inter2former._qt._places import camera_of

pytestmark = pytest.mark.qt


@pytest.fixture
def hand(window: Any, picture: Any) -> Hand:
    """Hold a mouse over a picture of 60 x 80 pixels, in a viewer that is shown."""
    return window.start(picture)


def places(bench: Any) -> list[tuple[int, int, bool]]:
    return [(round(c.row), round(c.column), c.positive) for c in bench.clicks]


def centre(bench: Any) -> tuple[float, ...]:
    return tuple(camera_of(bench.viewer).center)


CORNERS = [(10, 20, False), (10, 50, False), (40, 50, False), (40, 20, False)]


def test_a_drag_draws_a_box_whose_middle_is_clicked(bench: Any, hand: Hand) -> None:
    before = centre(bench)
    hand.key(Qt.Key.Key_W)
    assert bench.widget.buttons["toggle_boxes"].isChecked()
    assert "box" in bench.it.status.todo
    hand.drag((10, 20), (40, 50))
    bench.idle()
    assert places(bench) == [*CORNERS, (25, 35, True)]
    assert centre(bench) == before
    assert len(bench.points.data) == 5
    assert (np.asarray(bench.preview.data) > 0).sum() > 100
    # A click goes on as ever, and one undo takes the box and its click away.
    hand.click(30, 30)
    bench.idle()
    assert places(bench)[5:] == [(30, 30, True)]
    it = bench.it
    it.undo()
    it.undo()
    assert bench.clicks == ()
    assert "box" in bench.said
    it.redo()
    bench.idle()
    assert places(bench) == [*CORNERS, (25, 35, True)]
    hand.key(Qt.Key.Key_Return)
    assert bench.labels.data.any()
    # From any corner to the one across.
    hand.drag((40, 50), (10, 20))
    bench.idle()
    assert places(bench) == [*CORNERS, (25, 35, True)]


def test_a_box_goes_round_clicks_and_takes_the_place_of_another(bench: Any, hand: Hand) -> None:
    bench.widget.buttons["toggle_boxes"].click()
    hand.click(22, 33)
    hand.drag((12, 22), (30, 44))
    hand.drag((10, 20), (40, 50))
    bench.idle()
    assert places(bench) == [*CORNERS, (22, 33, True)]
    hand.click(38, 48, right=True)
    bench.idle()
    assert places(bench)[5:] == [(38, 48, False)]


def test_the_outline_is_seen_while_it_is_drawn(bench: Any, hand: Hand) -> None:
    hand.key(Qt.Key.Key_W)
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mousePress(hand.canvas, left, none, hand.at(10, 20))
    QTest.mouseMove(hand.canvas, hand.at(40, 50))
    bench.qtbot.wait(50)
    outline = np.asarray(bench.preview.data)
    assert outline.shape == (31, 31)
    assert outline[0].all()
    assert outline[:, -1].all()
    assert not outline[1:-1, 1:-1].any()
    # Back where it began it is a click, and no box.
    QTest.mouseMove(hand.canvas, hand.at(10, 20))
    QTest.mouseRelease(hand.canvas, left, none, hand.at(10, 20))
    bench.idle()
    assert places(bench) == [(10, 20, True)]
    assert bench.preview.data.shape != (31, 31)


def test_a_drag_moves_the_view_unless_boxes_are_on(bench: Any, hand: Hand) -> None:
    before = centre(bench)
    hand.drag((10, 20), (20, 30))
    assert bench.clicks == ()
    assert centre(bench) != before
    hand.key(Qt.Key.Key_W)
    hand.key(Qt.Key.Key_W)
    before = centre(bench)
    hand.drag((20, 30), (10, 20))
    assert bench.clicks == ()
    assert centre(bench) != before
    # Space lends the mouse to the view.
    hand.key(Qt.Key.Key_W)
    before = centre(bench)
    QTest.keyPress(hand.canvas, Qt.Key.Key_Space)
    bench.qtbot.wait(400)
    hand.drag((10, 20), (20, 30))
    QTest.keyRelease(hand.canvas, Qt.Key.Key_Space)
    bench.qtbot.wait(50)
    assert bench.clicks == ()
    assert centre(bench) != before


def test_a_box_ends_at_the_image_and_has_some_size(bench: Any, hand: Hand) -> None:
    hand.key(Qt.Key.Key_W)
    hand.drag((40, 50), (70, 90))
    bench.idle()
    assert places(bench)[:4] == [(40, 50, False), (40, 79, False), (59, 79, False), (59, 50, False)]
    bench.it.discard()
    hand.drag((20, 30), (20.5, 60))
    assert bench.clicks == ()
    assert "too small" in bench.said
    assert not np.asarray(bench.preview.data).any()
    hand.drag((63, 20), (68, 50))
    assert bench.clicks == ()
    assert "too small" in bench.said


def test_no_box_joins_an_object_that_waits_to_be_kept(bench: Any, hand: Hand) -> None:
    (predictor,) = bench.predictors
    predict, gate = predictor.predict, threading.Event()
    predictor.predict = lambda prompts: predict(prompts) if gate.wait(60) else None
    hand.key(Qt.Key.Key_W)
    hand.drag((10, 20), (40, 50))
    bench.it.accept()
    hand.drag((5, 5), (15, 15))
    assert "Click the next object when it is kept" in bench.said
    gate.set()
    bench.idle()
    assert bench.clicks == ()
    assert set(np.unique(bench.labels.data)) == {0, 1}


def test_another_plane_takes_no_box_of_this_object(bench: Any, hand: Hand) -> None:
    bench.viewer.add_image(np.zeros((3, 60, 80), np.uint8), name="stack")
    bench.it.choose_image(bench.viewer.layers["stack"])
    bench.idle()
    bench.viewer.dims.set_point(0, 1)
    hand.key(Qt.Key.Key_W)
    hand.drag((10, 20), (40, 50))
    bench.idle()
    assert places(bench) == [*CORNERS, (25, 35, True)]
    bench.viewer.dims.set_point(0, 2)
    hand.drag((5, 5), (15, 15))
    assert places(bench) == [*CORNERS, (25, 35, True)]
    assert "slice 1" in bench.said


def test_in_3d_a_drag_turns_the_view(bench: Any, hand: Hand) -> None:
    bench.viewer.add_image(np.zeros((3, 60, 80), np.uint8), name="stack")
    bench.it.choose_image(bench.viewer.layers["stack"])
    bench.idle()
    hand.key(Qt.Key.Key_W)
    bench.viewer.dims.ndisplay = 3
    bench.qtbot.wait(100)
    angles = tuple(camera_of(bench.viewer).angles)
    hand.drag((10, 20), (40, 50))
    bench.idle()
    assert bench.clicks == ()
    assert tuple(camera_of(bench.viewer).angles) != angles
