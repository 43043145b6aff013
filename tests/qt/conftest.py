"""A deterministic predictor, and a widget on a viewer."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

# For `canvas`, the hand that a benchmark has as well.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from canvas import Hand

    from napari_inter2former.prompts import Click


@dataclass(frozen=True)
class FakeMask:
    data: Any
    box: tuple[int, int, int, int]


class FakePredictor:
    """Discs of radius 6 around positive clicks, less discs around negative ones."""

    radius = 6

    def __init__(self, name: str) -> None:
        self.name = name
        self.images: list[Any] = []
        self.calls: list[tuple[str, Any]] = []
        self.threads: set[str] = set()
        self.encode_time = 0.0
        self.predict_time = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.ready: set[int] = set()

    @property
    def shape(self) -> tuple[int, int]:
        image, channel_axis, rgb = self.images[-1]
        array = image[0] if isinstance(image, list) else image
        shape = list(array.shape)
        if rgb:
            shape.pop()
        elif channel_axis is not None:
            shape.pop(channel_axis)
        return (int(shape[0]), int(shape[1]))

    def set_image(
        self, image: Any, channel_axis: int | None = None, rgb: bool | None = None
    ) -> None:
        self.threads.add(threading.current_thread().name)
        self.images.append((image, channel_axis, rgb))
        self.calls.append(("set_image", None))
        assert len(self.shape) == 2

    def is_ready(self, row: float, column: float) -> bool:
        return len(self.images) in self.ready

    def prefetch(self, row: float, column: float) -> None:
        self.gate.wait(10)
        end = time.perf_counter() + self.encode_time
        while time.perf_counter() < end:
            time.sleep(0.005)
        self.ready.add(len(self.images))
        self.calls.append(("prefetch", (row, column)))

    def predict(self, prompts: Sequence[Click]) -> FakeMask:
        time.sleep(self.predict_time)
        self.calls.append(("predict", tuple(prompts)))
        height, width = self.shape
        rows, columns = np.mgrid[:height, :width]
        mask = np.zeros((height, width), dtype=bool)
        for click in prompts:
            near = (rows - click.row) ** 2 + (columns - click.column) ** 2 <= self.radius**2
            mask[near] = click.positive
        if not mask.any():
            return FakeMask(np.zeros((0, 0), bool), (0, 0, 0, 0))
        r, c = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = (int(r[0]), int(c[0]), int(r[-1]) + 1, int(c[-1]) + 1)
        return FakeMask(mask[box[0] : box[2], box[1] : box[3]], box)


class Bench:
    """A viewer with the widget, and the moves of a user."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer = viewer
        self.qtbot = qtbot
        self.predictors: list[FakePredictor] = []
        self.prepare: Callable[[FakePredictor], None] = lambda _: None
        self.widget: Any = None

    def open(self, wait: bool = True, models: Sequence[str] = ("tiny", "mine")) -> Any:
        from napari_inter2former._qt import Inter2FormerWidget

        def make(name: str) -> FakePredictor:
            predictor = FakePredictor(name)
            self.prepare(predictor)
            self.predictors.append(predictor)
            return predictor

        self.widget = Inter2FormerWidget(self.viewer, make, lambda: list(models))
        self.viewer.window.add_dock_widget(self.widget, name="Inter2Former")
        if wait:
            self.idle()
        return self.widget

    def start(self, image: Any, **options: Any) -> Hand:
        """Show an image with the widget, and lay a hand on the canvas; for `window`."""
        from canvas import Hand
        from qtpy.QtWidgets import QApplication

        self.viewer.add_image(image, **options)
        self.open()
        QApplication.setActiveWindow(self.viewer.window._qt_window)
        self.qtbot.wait(200)
        self.viewer.reset_view()
        self.qtbot.wait(100)
        return Hand(self.viewer)

    @property
    def it(self) -> Any:
        return self.widget.controller

    @property
    def points(self) -> Any:
        return self.it.scene.clicks.layer

    @property
    def preview(self) -> Any:
        return self.it.scene.preview.layer

    @property
    def labels(self) -> Any:
        return self.it.scene.labels

    @property
    def said(self) -> str:
        return str(self.it.status.happened)

    @property
    def clicks(self) -> tuple[Click, ...]:
        return tuple(self.it.session.state.clicks)

    def idle(self) -> None:
        """Wait until the worker has nothing to do and its answers have arrived."""
        worker = self.it.link._worker
        self.qtbot.waitUntil(lambda: not worker.busy, timeout=20_000)
        self.qtbot.wait(20)
        self.qtbot.waitUntil(lambda: not worker.busy, timeout=20_000)
        self.qtbot.wait(5)

    def click(self, *point: float, positive: bool = True, wait: bool = True) -> None:
        """Do what napari does on a click in add mode."""
        self.points.feature_defaults = {"positive": [positive]}
        self.points.add(np.array(point, dtype=float))
        if wait:
            self.idle()

    def keep(self, *point: float) -> int:
        """Click and accept; the object's number."""
        before = set(self.it.session.accepted)
        self.click(*point)
        self.it.accept()
        (key,) = set(self.it.session.accepted) - before
        return int(key[2])


@pytest.fixture
def bench(make_napari_viewer: Any, qtbot: Any) -> Iterator[Bench]:
    """Hold a viewer without layers; `bench.open()` docks the widget."""
    bench = Bench(make_napari_viewer(), qtbot)
    yield bench
    if bench.widget is not None and bench.it.is_open:
        bench.widget.close()
    assert not [t for t in threading.enumerate() if t.name == "inter2former"]


@pytest.fixture
def window(bench: Bench, make_napari_viewer: Any) -> Bench:
    """Hold a bench on a viewer that is shown."""
    bench.viewer = make_napari_viewer(show=True)
    bench.viewer.window._qt_window.resize(1200, 800)
    return bench


@pytest.fixture
def second_bench(bench: Bench) -> Bench:
    """Hold another bench on the same viewer."""
    return Bench(bench.viewer, bench.qtbot)


@pytest.fixture
def picture() -> Any:
    """A grey image of 60 x 80 pixels."""
    return np.random.default_rng(0).integers(0, 255, (60, 80)).astype(np.uint8)
