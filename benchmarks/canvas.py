"""A mouse and a keyboard on the canvas, and a watch on what holds the window's event loop.

Also what the tests of a real window use.
"""

from __future__ import annotations

import collections
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_inter2former._qt._places import camera_of

if TYPE_CHECKING:
    import napari

PACKAGE = "napari_inter2former"


def rest(milliseconds: int) -> None:
    """Let the event loop run."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec_()


class Hand:
    """A mouse and a keyboard on the canvas of a viewer."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._camera = camera_of(viewer)
        window = viewer.window._qt_window
        self.canvas = next(
            widget
            for widget in QApplication.allWidgets()
            if type(widget).__name__ == "CanvasBackendDesktop" and widget.window() is window
        )
        self.canvas.setFocus()

    def at(self, row: float, column: float) -> QPoint:
        """Pixel of the canvas over a world position, from the camera alone."""
        camera = self._camera
        r = (row - camera.center[-2]) * camera.zoom + self.canvas.height() / 2
        c = (column - camera.center[-1]) * camera.zoom + self.canvas.width() / 2
        return QPoint(round(c), round(r))

    def click(self, row: float, column: float, *, right: bool = False, shift: bool = False) -> None:
        button = Qt.MouseButton.RightButton if right else Qt.MouseButton.LeftButton
        keys = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
        place = self.at(row, column)
        QTest.mouseMove(self.canvas, place)
        QTest.mousePress(self.canvas, button, keys, place)
        rest(10)
        QTest.mouseRelease(self.canvas, button, keys, place)
        rest(10)

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        QTest.mousePress(self.canvas, left, none, self.at(*start))
        for i in range(1, 6):
            where = [a + (b - a) * i / 5 for a, b in zip(start, stop, strict=True)]
            QTest.mouseMove(self.canvas, self.at(*where))
            rest(10)
        QTest.mouseRelease(self.canvas, left, none, self.at(*stop))
        rest(10)

    def key(self, key: Qt.Key, *modifiers: Qt.KeyboardModifier) -> None:
        held = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            held |= modifier
        QTest.keyClick(self.canvas, key, held)
        rest(10)


class Watch:
    """Holds of the event loop: what lies between two ticks of a timer in it.

    Other programs take the processor away from this one. On Linux the kernel counts for how long
    the loop's thread could have run and did not get a processor; that is no hold of ours.

    Attributes
    ----------
    step : str
        What is being done; to be set.
    longest : dict of str to float
        The longest hold during each step, in milliseconds.
    holds : list of dict
        Those longer than the limit: the step, the milliseconds, and where the loop's thread was.
    """

    def __init__(self, limit_ms: float) -> None:
        self.step = "start"
        self.longest: dict[str, float] = {}
        self.holds: list[dict[str, object]] = []
        self._limit = limit_ms
        self._seen: collections.Counter[str] = collections.Counter()
        self._last, self._waited = time.perf_counter(), waited_seconds()
        self._main = threading.get_ident()
        self._over = threading.Event()
        self._looker = threading.Thread(target=self._look, daemon=True)
        self._looker.start()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(1)

    def stop(self) -> None:
        self._timer.stop()
        self._over.set()
        self._looker.join()

    def _tick(self) -> None:
        now, waited = time.perf_counter(), waited_seconds()
        held = round(1000 * (now - self._last - (waited - self._waited)), 1)
        self._last, self._waited = now, waited
        self.longest[self.step] = max(self.longest.get(self.step, 0.0), held)
        # The looker may still be counting into the old one.
        seen, self._seen = collections.Counter(dict(self._seen)), collections.Counter()
        if held > self._limit:
            where = [f"{count} x {place}" for place, count in seen.most_common(4)]
            self.holds.append({"step": self.step, "ms": held, "where": where})

    def _look(self) -> None:
        """Note where the loop's thread is whenever a tick is late."""
        while not self._over.wait(0.004):
            if time.perf_counter() - self._last < 0.012:
                continue
            frame = sys._current_frames().get(self._main)
            names = []
            while frame is not None:
                path = Path(frame.f_code.co_filename)
                names.append((path, f"{path.parent.name}/{path.name}:{frame.f_code.co_name}"))
                frame = frame.f_back
            if names:
                own = [name for path, name in names if PACKAGE in path.parts][:2]
                self._seen[" < ".join([names[0][1], *own])] += 1


def waited_seconds() -> float:
    """For how long this thread has waited for a processor; 0 where that is not known."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
