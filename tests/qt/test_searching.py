"""The widget's button for all objects."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_inter2former import everything
from napari_inter2former._qt._contrast import Contrast
from napari_inter2former._qt._writing import FoundWriter
from napari_inter2former.annotation.found import FoundMask, FoundObjects
from napari_inter2former.annotation.planes import Plane
from napari_inter2former.predictor import Mask

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.qt

MASKS = [
    Mask(np.ones((5, 6), np.bool_), (10, 20, 15, 26), 0.9),
    Mask(np.ones((8, 8), np.bool_), (30, 40, 38, 48), 0.8),
]


class SlowSearch:
    """Stands in for `find_everything`: two blocks, and the gate before the second."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Event()
        self.values: list[float] = []

    def __call__(self, source: Any, model: Any, *, region: Any, progress: Any, **_: Any) -> Any:
        progress(0, 2)
        self.started.set()
        assert self.gate.wait(20)
        self.values.append(float(source.read(0, 0, 1, 1, 0)[0, 0, 0]))
        progress(1, 2)
        return [MASKS]


@pytest.fixture
def slow_search(monkeypatch: pytest.MonkeyPatch) -> SlowSearch:
    search = SlowSearch()
    monkeypatch.setattr(everything, "find_everything", search)
    return search


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    regions: list[Any] = []

    def find(source: Any, model: Any, *, region: Any, progress: Any, **_: Any) -> Any:
        regions.append(region)
        progress(0, 1)
        return [MASKS]

    monkeypatch.setattr(everything, "find_everything", find)
    return regions


def test_objects_are_added_where_there_are_none(
    bench: Any, picture: Any, searches: list[Any]
) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(12, 22)
    before = bench.labels.data.copy()
    bench.widget.search["image"].click()
    bench.idle()
    bench.qtbot.waitUntil(lambda: int(bench.labels.data.max()) == 3)
    assert searches == [(0, 0, 60, 80)]
    labels = bench.labels.data
    assert (labels[before > 0] == before[before > 0]).all()
    assert (labels[30:38, 40:48] == 3).all()
    # The other one that was found is there already.
    assert set(np.unique(labels)) == {0, 1, 3}
    assert "1 object found" in bench.said
    assert "1 more lies" in bench.said
    assert bench.keep(50, 10) == 4


def test_the_view_is_searched(bench: Any, searches: list[Any]) -> None:
    image = bench.viewer.add_image(np.zeros((3000, 4000), np.uint8))
    bench.open()
    image.corner_pixels = np.array([[1000, 1500], [2000, 2600]])  # as napari does when it draws
    bench.widget.search["view"].click()
    bench.idle()
    assert searches == [(1000, 1500, 2001, 2601)]


def test_without_an_image_nothing_is_searched(bench: Any, searches: list[Any]) -> None:
    bench.open()
    assert not bench.widget.search["view"].isEnabled()
    bench.it.search.in_view()
    assert not searches
    assert bench.said


def test_a_slider_that_is_moved_does_not_end_a_search(bench: Any, slow_search: SlowSearch) -> None:
    """The objects go where they were looked for."""
    stack = np.zeros((3, 60, 80), np.uint8)
    stack[0, :, ::2] = 200
    bench.viewer.add_image(stack, contrast_limits=(0, 255))
    bench.open()
    bench.viewer.dims.set_point(0, 0)
    bench.it.look()
    bench.idle()
    bench.widget.search["image"].click()
    bench.qtbot.waitUntil(slow_search.started.is_set)
    bench.viewer.dims.set_point(0, 2)
    bench.it.look()
    slow_search.gate.set()
    bench.idle()
    assert bench.it.search.progress is None
    assert bench.widget.search["image"].isEnabled()
    bench.qtbot.waitUntil(lambda: bench.labels is not None and int(bench.labels.data.max()) == 2)
    assert (bench.labels.data[0, 30:38, 40:48] == 2).all()
    assert not bench.labels.data[1:].any()
    assert bench.it.scene.plane().index[0] == 2


def test_contrast_that_is_changed_does_not_end_a_search(
    bench: Any, picture: Any, slow_search: SlowSearch
) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.widget.search["image"].click()
    bench.qtbot.waitUntil(slow_search.started.is_set)
    bench.it.choose_contrast(Contrast.DISPLAYED)
    bench.it.look()
    slow_search.gate.set()
    bench.idle()
    assert bench.it.search.progress is None
    bench.qtbot.waitUntil(lambda: bench.labels is not None and int(bench.labels.data.max()) == 2)


def test_another_image_ends_a_search(bench: Any, picture: Any, slow_search: SlowSearch) -> None:
    bench.viewer.add_image(picture, name="first")
    bench.open()
    bench.widget.search["image"].click()
    bench.qtbot.waitUntil(slow_search.started.is_set)
    bench.it.choose_image(bench.viewer.add_image(picture, name="second"))
    assert bench.it.search.progress is None
    slow_search.gate.set()
    bench.idle()
    assert not bench.labels.data.any()


def test_another_model_ends_a_search(bench: Any, picture: Any, slow_search: SlowSearch) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.widget.search["image"].click()
    bench.qtbot.waitUntil(slow_search.started.is_set)
    bench.it.choose_model("mine")
    slow_search.gate.set()
    bench.idle()
    assert bench.it.search.progress is None
    assert not bench.labels.data.any()


def test_a_search_is_one_step_of_the_history(bench: Any, picture: Any, searches: list[Any]) -> None:
    def becomes(expected: Any) -> None:
        # What was found is written and taken out in steps.
        bench.qtbot.waitUntil(lambda: np.array_equal(bench.labels.data, expected))

    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(12, 22)
    before = bench.labels.data.copy()
    bench.widget.search["image"].click()
    bench.idle()
    bench.qtbot.waitUntil(lambda: int(bench.labels.data.max()) == 3)
    found = bench.labels.data.copy()
    bench.keep(50, 10)
    bench.it.undo()
    bench.it.undo()
    becomes(found)
    bench.it.undo()
    becomes(before)
    bench.it.redo()
    becomes(found)
    bench.it.undo()
    bench.it.undo()
    becomes(np.zeros_like(before))
    bench.it.redo()
    becomes(before)
    bench.it.redo()
    bench.it.undo()
    bench.it.redo()
    becomes(found)


def test_the_place_of_an_object_that_is_open_again_stays_free(
    bench: Any, picture: Any, slow_search: SlowSearch
) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(12, 22)
    before = bench.labels.data.copy()
    bench.widget.search["image"].click()
    bench.qtbot.waitUntil(slow_search.started.is_set)
    bench.viewer.cursor.position = (12, 22)
    bench.it.reopen()
    assert not bench.labels.data.any()
    slow_search.gate.set()
    bench.idle()
    bench.qtbot.waitUntil(lambda: int(bench.labels.data.max()) == 3)
    bench.it.discard()
    assert (bench.labels.data[before > 0] == 1).all()


def test_what_is_found_far_apart_in_a_large_image(bench: Any, monkeypatch: Any) -> None:
    """Labels of the whole plane would not fit into memory."""
    far = [
        Mask(np.ones((300, 300), np.bool_), (10, 20, 310, 320), 0.9),
        Mask(np.ones((8, 8), np.bool_), (49_000, 49_900, 49_008, 49_908), 0.8),
    ]
    monkeypatch.setattr(everything, "find_everything", lambda *_, **__: [far])
    bench.viewer.add_image(
        [np.broadcast_to(np.uint8(7), (50_000 // n, 50_000 // n)) for n in (1, 64)],
        multiscale=True,
        contrast_limits=(0, 99),
    )
    bench.open()
    bench.widget.search["image"].click()
    bench.idle()
    labels = bench.labels.data[0]
    bench.qtbot.waitUntil(lambda: int(labels[49_004, 49_904]) == 2)
    assert (labels[10:310, 20:320] == 1).all()
    bench.it.undo()
    bench.qtbot.waitUntil(lambda: labels.largest() == 0)


def test_objects_are_written_in_order_and_whole_at_the_end() -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(np.zeros((300, 400), np.int32))
    plane = Plane((0, 1), (0, 0), (300, 400))
    found = FoundObjects((FoundMask.of(np.ones((300, 400), np.bool_), (0, 0, 300, 400)),), 1)
    calls: list[Callable[[], None]] = []
    writer = FoundWriter(viewer, calls.append, pytest.fail)
    writer.write(layer, plane, found)
    assert set(np.unique(layer.data)) == {0, 1}
    writer.write(layer, plane, found, forward=False)
    writer.write(layer, plane, found)
    assert len(calls) == 1
    calls.pop()()
    assert len(calls) == 1
    writer.finish()
    assert (layer.data == 1).all()
    # The widget was opened again.
    writer.write(layer, plane, found, forward=False)
    while calls:
        calls.pop()()
    assert not layer.data.any()


def test_what_was_found_is_corrected_by_clicks(
    bench: Any, picture: Any, searches: list[Any]
) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.widget.search["image"].click()
    bench.idle()
    bench.qtbot.waitUntil(lambda: int(bench.labels.data.max()) == 2)
    before = bench.labels.data.copy()
    bench.viewer.cursor.position = (37, 41)
    bench.it.reopen()
    bench.idle()
    assert len(bench.clicks) == 1
    assert abs(bench.clicks[0].row - 33.5) <= 1
    assert abs(bench.clicks[0].column - 43.5) <= 1
    assert not (bench.labels.data == 2).any()
    bench.it.discard()
    np.testing.assert_array_equal(bench.labels.data, before)
    bench.it.undo()
    bench.idle()
    bench.it.accept()
    assert np.count_nonzero(bench.labels.data == 2) > 64
    for _ in range(2):
        bench.it.undo()
    np.testing.assert_array_equal(bench.labels.data, before)


def test_the_current_object_is_left_to_be_kept(
    bench: Any, picture: Any, slow_search: SlowSearch
) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.widget.search["image"].click()
    bench.qtbot.waitUntil(slow_search.started.is_set)
    bench.click(34, 44, wait=False)
    slow_search.gate.set()
    bench.idle()
    bench.qtbot.waitUntil(lambda: "found" in bench.said)
    size = int(bench.it.session.state.mask.data.sum())
    bench.it.accept()
    assert f"{size} pixels" in bench.said
    assert "left alone" not in bench.said
