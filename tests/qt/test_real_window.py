"""A real window: real mouse events on the canvas, real keys, and a loop that goes on."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest

pytestmark = pytest.mark.qt

DELETE = Qt.Key.Key_Backspace if sys.platform == "darwin" else Qt.Key.Key_Delete


def test_the_whole_loop_by_mouse_and_keys(window: Any, picture: Any) -> None:
    bench = window
    hand = bench.start(picture)
    hand.click(20, 30)
    bench.idle()
    (click,) = bench.clicks
    assert abs(click.row - 20) < 0.5
    assert abs(click.column - 30) < 0.5
    assert click.positive
    assert (np.asarray(bench.preview.data) > 0).sum() > 100
    # The mask is really on the screen: cyan where the image is grey.
    bench.qtbot.wait(100)
    shot = bench.viewer.screenshot(canvas_only=True, flash=False)
    cyan = (shot[..., 2].astype(int) - shot[..., 0]) > 40
    assert cyan.any()

    hand.click(24, 30, right=True)
    bench.idle()
    hand.click(16, 30, shift=True)
    bench.idle()
    assert [c.positive for c in bench.clicks] == [True, False, False]

    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    hand.key(Qt.Key.Key_Z, control)
    hand.key(Qt.Key.Key_Z, control)
    assert len(bench.clicks) == len(bench.points.data) == 1
    hand.key(Qt.Key.Key_Z, control, shift)
    assert len(bench.clicks) == 2
    bench.idle()

    hand.key(Qt.Key.Key_Return)
    assert bench.clicks == ()
    kept = bench.labels.data == 1
    assert kept.any()

    hand.click(45, 60)
    bench.idle()
    hand.key(Qt.Key.Key_Escape)
    assert bench.clicks == ()
    assert set(np.unique(bench.labels.data)) == {0, 1}

    hand.key(Qt.Key.Key_Z, control)  # the discarded click is back
    hand.key(Qt.Key.Key_Z, control)  # and gone
    hand.key(Qt.Key.Key_Z, control)  # the object is open again
    assert not bench.labels.data.any()
    assert len(bench.clicks) == 2
    hand.key(Qt.Key.Key_Return)
    np.testing.assert_array_equal(bench.labels.data == 2, kept)

    QTest.keyPress(hand.canvas, Qt.Key.Key_H)
    bench.qtbot.wait(20)
    assert not bench.labels.visible
    QTest.keyRelease(hand.canvas, Qt.Key.Key_H)
    bench.qtbot.wait(20)
    assert bench.labels.visible

    QTest.mouseMove(hand.canvas, hand.at(20, 30))
    bench.qtbot.wait(20)
    hand.key(Qt.Key.Key_G)
    assert len(bench.clicks) == 2
    hand.key(Qt.Key.Key_Escape)
    assert (bench.labels.data == 2).sum() == kept.sum()

    QTest.mouseMove(hand.canvas, hand.at(15, 28))
    bench.qtbot.wait(20)
    hand.key(DELETE)
    assert not bench.labels.data.any()
    hand.key(Qt.Key.Key_Z, control)
    assert (bench.labels.data == 2).sum() == kept.sum()


def test_keys_work_after_a_button_and_in_the_dock(window: Any, picture: Any) -> None:
    bench = window
    hand = bench.start(picture)
    hand.click(20, 30)
    bench.idle()
    accept = bench.widget.buttons["accept"]
    QTest.mouseClick(accept, Qt.MouseButton.LeftButton)
    assert set(np.unique(bench.labels.data)) == {0, 1}
    hand.click(45, 60)
    bench.idle()
    QTest.keyClick(bench.widget, Qt.Key.Key_Return)
    assert set(np.unique(bench.labels.data)) == {0, 1, 2}
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(bench.widget, Qt.Key.Key_Z, control)
    assert set(np.unique(bench.labels.data)) == {0, 1}
    QTest.keyClick(bench.widget, Qt.Key.Key_Z, control | shift)
    assert set(np.unique(bench.labels.data)) == {0, 1, 2}


def test_points_are_moved_and_deleted_with_naparis_own_tools(window: Any, picture: Any) -> None:
    bench = window
    hand = bench.start(picture)
    hand.click(20, 30)
    hand.click(40, 30)
    bench.idle()
    bench.points.mode = "select"
    assert not bench.widget.go_on.isHidden()
    hand.click(20, 30)
    hand.drag((20, 30), (25, 50))
    bench.idle()
    assert abs(bench.clicks[0].row - 25) < 1
    assert abs(bench.clicks[0].column - 50) < 1
    hand.key(DELETE)
    bench.idle()
    assert len(bench.clicks) == 1
    bench.widget.go_on.click()
    hand.click(10, 10)
    bench.idle()
    assert len(bench.clicks) == 2


def test_scaled_and_moved_image(window: Any, picture: Any) -> None:
    bench = window
    hand = bench.start(picture, scale=(0.5, 0.25), translate=(100, -7))
    hand.click(100 + 20 * 0.5, -7 + 30 * 0.25)
    bench.idle()
    assert abs(bench.clicks[0].row - 20) < 0.5
    assert abs(bench.clicks[0].column - 30) < 0.5


def test_the_event_loop_runs_while_the_image_is_encoded(
    window: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real network. How long the loop is held `benchmarks/event_loop.py` measures."""
    from napari_inter2former._qt import _dock
    from napari_inter2former.model import build_model
    from napari_inter2former.predictor import Predictor

    turns = 0
    during: list[int] = []

    class Watched(Predictor):
        def prefetch(self, row: float, column: float) -> None:
            before = turns
            super().prefetch(row, column)
            during.append(turns - before)

    def turn() -> None:
        nonlocal turns
        turns += 1

    monkeypatch.setattr(_dock, "make_predictor", lambda _: Watched(build_model("tiny")))
    bench = window
    rng = np.random.default_rng(0)
    bench.viewer.add_image(rng.integers(0, 255, (2048, 2048)).astype(np.uint8))
    bench.widget = _dock.Inter2FormerWidget(bench.viewer, _dock.make_predictor, lambda: ["tiny"])
    bench.viewer.window.add_dock_widget(bench.widget)
    bench.qtbot.waitUntil(lambda: bench.it.link.model_ready, timeout=60_000)
    bench.idle()
    timer = QTimer()
    timer.timeout.connect(turn)
    timer.start(1)
    during.clear()
    for i in range(6):
        # As when the view has moved to another part of the image.
        place = (250 + 1000 * (i // 3), 250 + 500 * (i % 3))
        bench.it.link.look_at(bench.it.scene.plane(), place)
        bench.qtbot.waitUntil(lambda n=i: len(during) > n, timeout=60_000)
        bench.idle()
    timer.stop()
    # Were it done in the window's thread, or without letting go of the interpreter, all were 0.
    assert max(during) >= 3, during
