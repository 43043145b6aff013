"""How long the window's event loop is held while clicks, accepts and undoes are made.

python benchmarks/event_loop.py --json holds.json              # a multiscale layer, 50,000 x 50,000
python benchmarks/event_loop.py --side 1024 --json holds.json  # an ordinary array

Needs a display (on Linux without one: xvfb-run -a -s "-screen 0 1280x1024x24" python ...). Every
time that two ticks of a timer lie further apart than the limit is listed, with the step during
which it happened and where the loop's thread was: a second thread looks there meanwhile. Time for
which the thread could have run but got no processor, because other programs had it, is left out.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import threading
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_inter2former._qt import Inter2FormerWidget
from napari_inter2former.benchmark._large_images import Endless, grey_sample

SAMPLE = "nuclei_fluorescence"
PACKAGE = "napari_inter2former"


class Shrunk:
    """Every n-th pixel of an image, read lazily: a level of a pyramid."""

    ndim = 2

    def __init__(self, image: Endless, step: int) -> None:
        self._image, self._step = image, step
        self.shape = tuple(-(-n // step) for n in image.shape)
        self.size = self.shape[0] * self.shape[1]
        self.dtype = image.dtype

    def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
        spans = [part.indices(n) for part, n in zip(index, self.shape, strict=True)]
        return self._image[
            tuple(slice(a * self._step, b * self._step, self._step) for a, b, _ in spans)
        ]

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.asarray(self[:, :], dtype=dtype)


class Watch:
    """Ticks of a timer in the event loop, and what held the loop between two of them."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.step = "start"
        self.gaps: list[tuple[str, float]] = []
        self.holds: list[dict[str, object]] = []
        self._seen: collections.Counter[str] = collections.Counter()
        self._last, self._waited = time.perf_counter(), waited_seconds()
        self._main = threading.get_ident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        self._last = time.perf_counter()
        self._timer.start(1)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._timer.stop()
        self._thread.join()

    def _tick(self) -> None:
        now, waited = time.perf_counter(), waited_seconds()
        gap = 1e3 * (now - self._last - (waited - self._waited))
        self._last, self._waited = now, waited
        self.gaps.append((self.step, gap))
        if gap > self.limit:
            where = [f"{count} x {place}" for place, count in self._seen.most_common(4)]
            self.holds.append({"step": self.step, "ms": round(gap, 1), "where": where})
        self._seen.clear()

    def _look(self) -> None:
        while not self._stop.wait(0.004):
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
    """For how long this thread has waited for a processor; 0 where that is not known (Linux)."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


class Hand:
    """A mouse and a keyboard on the canvas."""

    def __init__(self, viewer: napari.Viewer) -> None:
        from napari_inter2former._qt._places import camera_of

        self._camera = camera_of(viewer)
        window = viewer.window._qt_window
        self.canvas = next(
            widget
            for widget in QApplication.allWidgets()
            if type(widget).__name__ == "CanvasBackendDesktop" and widget.window() is window
        )
        self.canvas.setFocus()

    def click(self, row: float, column: float, background: bool = False) -> None:
        camera = self._camera
        place = QPoint(
            round((column - camera.center[-1]) * camera.zoom + self.canvas.width() / 2),
            round((row - camera.center[-2]) * camera.zoom + self.canvas.height() / 2),
        )
        button = Qt.MouseButton.RightButton if background else Qt.MouseButton.LeftButton
        none = Qt.KeyboardModifier.NoModifier
        QTest.mouseMove(self.canvas, place)
        QTest.mousePress(self.canvas, button, none, place)
        rest(0.02)
        QTest.mouseRelease(self.canvas, button, none, place)

    def key(self, key: Qt.Key, *modifiers: Qt.KeyboardModifier) -> None:
        held = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            held |= modifier
        QTest.keyClick(self.canvas, key, held)


def rest(seconds: float) -> None:
    """Let the event loop run."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.0005)


def wait(condition: object, seconds: float = 60) -> None:
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError("the worker has not answered")
        rest(0.002)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=50_000)
    parser.add_argument("--objects", type=int, default=6)
    parser.add_argument("--limit", type=float, default=50, help="holds above it are listed, ms")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    picture, truth = (part.astype(np.uint16) for part in grey_sample(SAMPLE))
    shape = (options.side, options.side)
    image, labels = Endless(picture * 16, shape), Endless(truth, shape)
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1200, 800)
    if options.side > 8192:
        levels = [Shrunk(image, 4**i) for i in range(4)]
        viewer.add_image(levels, multiscale=True, contrast_limits=(0, 3000))
    else:
        viewer.add_image(image[:, :], contrast_limits=(0, 3000))
    widget = Inter2FormerWidget(viewer)
    viewer.window.add_dock_widget(widget)
    controller = widget.controller
    worker = controller.link._worker
    wait(lambda: controller.link.model_ready)
    middle = options.side // 2
    camera = Hand(viewer)._camera
    camera.center, camera.zoom = (middle, middle), 1.0
    rest(1)
    hand = Hand(viewer)
    field = labels[middle - 250 : middle + 250, middle - 250 : middle + 250]
    numbers = [n for n in np.unique(field[field > 0]) if np.count_nonzero(field == n) > 150]
    places = []
    for number in numbers[: options.objects]:
        rows, columns = np.nonzero(field == number)
        nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        places.append((middle - 250 + rows[nearest], middle - 250 + columns[nearest]))
    watch = Watch(options.limit)
    watch.start()

    def settle(step: str) -> None:
        rest(0.05)
        wait(lambda: not worker.busy)
        rest(0.3)
        watch.step = f"after {step}"

    watch.step = "nothing"
    rest(2)
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    for row, column in places:
        steps = [
            ("click", lambda r=row, c=column: hand.click(r, c)),
            ("background click", lambda r=row, c=column: hand.click(r + 30, c, True)),
            ("undo a click", lambda: hand.key(Qt.Key.Key_Z, control)),
            ("accept", lambda: hand.key(Qt.Key.Key_Return)),
            ("undo an accept", lambda: hand.key(Qt.Key.Key_Z, control)),
            ("redo an accept", lambda: hand.key(Qt.Key.Key_Z, control, shift)),
        ]
        for name, act in steps:
            watch.step = name
            act()
            settle(name)
    watch.stop()
    longest: dict[str, float] = {}
    for step, gap in watch.gaps:
        name = step.removeprefix("after ")
        longest[name] = max(longest.get(name, 0.0), round(gap, 1))
    figures = {
        "side": options.side,
        "longest_ms": longest,
        "over_limit": len(watch.holds),
        "holds": watch.holds,
        "objects": len(controller.session.accepted),
    }
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    viewer.close()


if __name__ == "__main__":
    main()
