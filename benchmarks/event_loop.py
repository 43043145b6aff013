"""How long the window's event loop is held while clicks, accepts, undoes and encodings are made.

python benchmarks/event_loop.py --json holds.json              # a multiscale layer, 50,000 x 50,000
python benchmarks/event_loop.py --side 1024 --json holds.json  # an ordinary array

Needs a display (on Linux without one: xvfb-run -a -s "-screen 0 1280x1024x24" python ...). Every
time that two ticks of a timer lie further apart than the limit is listed, with the step during
which it happened and where the loop's thread was: a second thread looks there meanwhile. Time for
which the thread could have run but got no processor, because other programs had it, is left out.

Before the widget is there, the same window does what napari does by itself: a point is added to a
points layer, a disc painted in a labels layer of 1,024 x 1,024. No plugin that shows clicks and
masks in layers holds the loop for less.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import napari
import numpy as np
from canvas import Hand, Watch, rest
from qtpy.QtCore import Qt

from napari_inter2former._qt import Inter2FormerWidget
from napari_inter2former._qt._places import camera_of
from napari_inter2former.benchmark._large_images import Endless, grey_sample

SAMPLE = "nuclei_fluorescence"


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


def wait(condition: object, seconds: float = 60) -> None:
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError("the worker has not answered")
        rest(2)


def napari_alone(viewer: napari.Viewer, watch: Watch, middle: int) -> None:
    """Change layers as a click and a mask do, with nothing of this package in between."""
    points = viewer.add_points(np.zeros((0, 2)), size=10)
    labels = viewer.add_labels(np.zeros((1024, 1024), np.uint16), translate=(middle - 512,) * 2)
    watch.step = "nothing"
    rest(1000)
    rows, columns = np.nonzero(np.hypot(*np.ogrid[-20:21, -20:21]) <= 20)
    for number in range(1, 6):
        watch.step = "napari alone: a point"
        points.add((middle + 50 * number, middle))
        rest(400)
        watch.step = "napari alone: a disc of labels"
        labels.data_setitem((rows + 60 * number, columns + 60 * number), number)
        rest(400)
    points.visible = labels.visible = False  # a plugin's layers are drawn in their place
    watch.step = "nothing"
    rest(1000)


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
    middle = options.side // 2
    camera = camera_of(viewer)
    camera.center, camera.zoom = (middle, middle), 1.0
    rest(1000)
    watch = Watch(options.limit)
    napari_alone(viewer, watch, middle)
    watch.stop()
    alone = {step: held for step, held in watch.longest.items() if step.startswith("napari")}
    widget = Inter2FormerWidget(viewer)
    viewer.window.add_dock_widget(widget)
    controller = widget.controller
    worker = controller.link._worker
    wait(lambda: controller.link.model_ready)
    rest(1000)
    hand = Hand(viewer)
    field = labels[middle - 250 : middle + 250, middle - 250 : middle + 250]
    numbers = [n for n in np.unique(field[field > 0]) if np.count_nonzero(field == n) > 150]
    places = []
    for number in numbers[: options.objects]:
        rows, columns = np.nonzero(field == number)
        nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        places.append((middle - 250 + rows[nearest], middle - 250 + columns[nearest]))
    watch = Watch(options.limit)

    def settle(step: str) -> None:
        rest(50)
        wait(lambda: not worker.busy)
        rest(300)
        watch.step = f"after {step}"

    watch.step = "nothing"
    rest(2000)
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    for row, column in places:
        steps = [
            ("click", lambda r=row, c=column: hand.click(r, c)),
            ("background click", lambda r=row, c=column: hand.click(r + 30, c, right=True)),
            ("undo a click", lambda: hand.key(Qt.Key.Key_Z, control)),
            ("accept", lambda: hand.key(Qt.Key.Key_Return)),
            ("undo an accept", lambda: hand.key(Qt.Key.Key_Z, control)),
            ("redo an accept", lambda: hand.key(Qt.Key.Key_Z, control, shift)),
        ]
        for name, act in steps:
            watch.step = name
            act()
            settle(name)
    for row, column in places:
        watch.step = "encoding"
        # As when the view has moved to another part of the image.
        controller.link.look_at(controller.scene.plane(), (row / 2, column / 2))
        settle("encoding")
    watch.stop()
    longest = dict(alone)
    for step, held in watch.longest.items():
        name = step.removeprefix("after ")
        longest[name] = max(longest.get(name, 0.0), held)
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
