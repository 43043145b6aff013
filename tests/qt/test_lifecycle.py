"""Opening, closing, and everything that happens to layers meanwhile."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_inter2former._qt._contrast import Contrast

pytestmark = pytest.mark.qt


def connections(viewer: Any) -> list[str]:
    """Callbacks of this package on everything that it listens to."""
    from napari_inter2former._qt._places import camera_of

    groups = [
        viewer.layers.events,
        viewer.layers.selection.events,
        viewer.dims.events,
        camera_of(viewer).events,
        *(layer.events for layer in viewer.layers),
    ]
    return [
        name
        for events in groups
        for name, emitter in _emitters(events)
        for callback in getattr(emitter, "callbacks", ())
        if _module_of(callback).startswith("napari_inter2former")
    ]


def _emitters(events: Any) -> list[tuple[str, Any]]:
    return list(getattr(events, "emitters", {}).items())


def _module_of(callback: Any) -> str:
    """Where a callback comes from: napari keeps functions, or (weak reference, method name)."""
    owner = callback[0]() if isinstance(callback, tuple) else callback
    return str(getattr(owner, "__module__", ""))


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "inter2former"]


@pytest.mark.parametrize("how", ["dock", "widget"])
def test_closing_leaves_nothing_behind(bench: Any, picture: Any, how: str) -> None:
    image = bench.viewer.add_image(picture)
    labels = bench.viewer.add_labels(np.zeros((60, 80), np.int32))
    keymaps = [dict(layer.keymap) for layer in (bench.viewer, image, labels)]
    widgets = len(QApplication.topLevelWidgets())
    bench.open()
    bench.it.choose_labels(labels)
    bench.keep(20, 30)
    bench.click(40, 50)
    points = bench.points
    assert threads() == ["inter2former"]
    # The test can see them, on layers and on viewer.
    assert {"inserted", "removed", "active", "ndisplay", "zoom", "name", "scale"} <= set(
        connections(bench.viewer)
    )
    if how == "dock":
        bench.viewer.window.remove_dock_widget(bench.widget)
    else:
        bench.widget.close()
    assert threads() == []
    assert list(bench.viewer.layers) == [image, labels]
    assert connections(bench.viewer) == []
    assert [dict(layer.keymap) for layer in (bench.viewer, image, labels)] == keymaps
    assert points.keymap == {}
    # The accepted object stays.
    assert np.count_nonzero(labels.data) == 113
    if how == "widget":
        bench.viewer.window.remove_dock_widget(bench.widget)
    bench.widget.deleteLater()
    bench.qtbot.wait(20)
    assert len(QApplication.topLevelWidgets()) <= widgets


def test_closing_the_viewer_ends_the_thread(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    assert threads() == ["inter2former"]
    bench.viewer.close()
    bench.qtbot.waitUntil(lambda: threads() == [], timeout=10_000)


def test_docking_again_works(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    labels = bench.labels
    bench.viewer.window.remove_dock_widget(bench.widget)
    assert not bench.it.is_open
    bench.viewer.window.add_dock_widget(bench.widget)
    bench.idle()
    # The image's labels are remembered, and numbering goes on.
    assert bench.labels is labels
    assert bench.keep(45, 60) == 2


def test_two_widgets_never_give_a_number_twice(bench: Any, second_bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(10, 10)
    other = second_bench
    other.open()
    try:
        other.it.choose_labels(bench.labels)
        other.idle()
        assert other.keep(40, 40) == 2
        assert bench.keep(10, 40) == 3
        assert set(np.unique(bench.labels.data)) == {0, 1, 2, 3}
        # Each has its own clicks.
        other.click(20, 70)
        assert bench.clicks == ()
        assert len(other.clicks) == 1
    finally:
        other.widget.close()
    bench.click(30, 60)
    assert len(bench.clicks) == 1


def test_another_widget_goes_on_in_the_same_labels(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    labels = bench.labels
    bench.viewer.window.remove_dock_widget(bench.widget)
    bench.open()
    assert bench.labels is labels
    assert bench.keep(45, 60) == 2


def test_the_image_that_is_chosen_is_seen(bench: Any, picture: Any) -> None:
    first = bench.viewer.add_image(picture, name="first")
    bench.open()
    bench.keep(20, 30)
    labels = bench.labels
    second = bench.viewer.add_image(picture, name="second")
    assert "'second' was added. Clicks still go to 'first'" in bench.said
    bench.it.choose_image(second)
    bench.idle()
    bench.it.choose_image(first)
    bench.idle()
    own = [bench.preview, bench.points]
    assert list(bench.viewer.layers)[-4:] == [first, labels, *own]
    above = bench.viewer.add_labels(np.zeros_like(labels.data))
    bench.it.choose_labels(above)
    assert list(bench.viewer.layers)[-3:] == [above, *own]


def test_contrast_that_counts_renews_the_mask(bench: Any, picture: Any) -> None:
    image = bench.viewer.add_image(picture)
    bench.open()
    bench.it.choose_contrast(Contrast.DISPLAYED)
    bench.click(20, 30)
    image.contrast_limits = (0, 40)
    assert bench.it.session.pending
    bench.it.look()
    bench.idle()
    assert not bench.it.session.pending
    *_, (name, clicks) = bench.predictors[0].calls
    assert (name, len(clicks)) == ("predict", 1)


def test_image_that_comes_later(bench: Any, picture: Any) -> None:
    bench.open()
    assert "Open an image" in bench.it.status.todo
    bench.viewer.add_image(picture)
    bench.qtbot.waitUntil(lambda: bench.it.scene.clicks is not None, timeout=5000)
    bench.idle()
    bench.keep(20, 30)


def test_renamed_layers(bench: Any, picture: Any) -> None:
    image = bench.viewer.add_image(picture, name="a")
    bench.open()
    bench.keep(20, 30)
    image.name, bench.labels.name, bench.points.name = "b", "mine", "dots"
    bench.preview.name = "p"
    assert bench.widget.image_box.currentText() == "b"
    assert bench.widget.labels_box.currentText() == "mine"
    assert bench.keep(45, 60) == 2


def test_hidden_layers(bench: Any, picture: Any) -> None:
    image = bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    image.visible = bench.labels.visible = bench.preview.visible = False
    assert bench.keep(45, 60) == 2
    bench.it.undo()
    assert set(np.unique(bench.labels.data)) == {0, 1}


def test_removed_labels(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    bench.viewer.layers.remove(bench.labels)
    assert "was removed" in bench.said
    bench.it.undo()  # of an object in a layer that is gone
    assert "is gone" in bench.said
    bench.it.discard()
    assert bench.keep(45, 60) == 1
    assert bench.labels in bench.viewer.layers


def test_removed_clicks_and_preview(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.click(20, 30)
    bench.viewer.layers.remove(bench.preview)
    bench.click(24, 30)
    bench.viewer.layers.remove(bench.points)
    assert "clicks layer was removed" in bench.said
    assert not bench.widget.go_on.isHidden()
    bench.widget.go_on.click()
    bench.idle()
    assert bench.widget.go_on.isHidden()
    assert bench.keep(45, 60) == 1


def test_a_labels_layer_that_nobody_used_goes(bench: Any, picture: Any) -> None:
    first = bench.viewer.add_image(picture, name="first")
    second = bench.viewer.add_image(picture, name="second")
    own = bench.viewer.add_labels(np.zeros((60, 80), np.int32), name="own")
    bench.viewer.layers.selection.active = first
    bench.open()
    made = []

    def choose(image: Any) -> None:
        bench.it.choose_image(image)
        bench.idle()
        made.append(bench.labels)

    made.append(bench.labels)
    choose(second)
    assert made[0] not in bench.viewer.layers
    assert made[1].name == "second objects"
    bench.keep(20, 30)
    bench.it.undo()
    choose(first)
    assert made[1] in bench.viewer.layers  # redo could still be wanted
    assert made[2] in bench.viewer.layers
    made[2].data[3, 4] = 9
    choose(second)
    assert made[3] is made[1]
    assert made[2] in bench.viewer.layers
    choose(first)
    assert made[4] is made[2]
    bench.it.choose_labels(None)
    new = bench.labels
    assert new is not made[2]
    new.name = "mine"
    bench.it.choose_labels(None)
    assert new in bench.viewer.layers
    last = bench.labels
    bench.it.choose_labels(own)
    assert last not in bench.viewer.layers
    bench.it.choose_labels(None)
    bench.widget.close()
    assert set(bench.viewer.layers) == {first, second, own, made[1], made[2], new}


def test_a_new_labels_layer_leaves_the_selection_alone(bench: Any, picture: Any) -> None:
    image = bench.viewer.add_image(picture)
    bench.open()
    selection = bench.viewer.layers.selection
    active: list[Any] = []
    selection.events.active.connect(lambda event: active.append(event.value))
    bench.it.choose_labels(None)
    assert set(selection) == {bench.points}
    assert selection.active is bench.points
    assert not active
    selection.active = image
    assert active[-1] is image


def test_removed_image(bench: Any, picture: Any) -> None:
    image = bench.viewer.add_image(picture, name="cells")
    bench.open()
    bench.keep(20, 30)
    labels = bench.labels
    bench.viewer.layers.remove(image)
    bench.qtbot.waitUntil(lambda: bench.it.scene.clicks is None, timeout=5000)
    assert list(bench.viewer.layers) == [labels]
    assert "'cells' was removed" in bench.said
    bench.idle()
    # The worker has let go of the pixels.
    assert bench.predictors[0].images[-1][0].shape == (1, 1)


def test_image_removed_during_encoding(bench: Any, picture: Any) -> None:
    bench.prepare = lambda predictor: predictor.gate.clear()
    image = bench.viewer.add_image(picture)
    other = bench.viewer.add_image(picture.T.copy(), visible=False)
    bench.viewer.layers.selection.active = image
    bench.open(wait=False)
    bench.qtbot.waitUntil(lambda: bool(bench.predictors) and bench.it.link.encoding, timeout=9000)
    bench.click(20, 30, wait=False)
    bench.viewer.layers.remove(image)
    bench.predictors[0].gate.set()
    bench.qtbot.waitUntil(lambda: bench.it.scene.image is other, timeout=5000)
    bench.idle()
    assert bench.clicks == ()
    assert bench.keep(70, 20) == 1
    assert bench.labels.data.shape == (80, 60)


def test_removing_all_layers_at_once(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    bench.viewer.layers.clear()
    bench.qtbot.wait(50)
    assert len(bench.viewer.layers) == 0
    assert "Open an image" in bench.it.status.todo


def test_another_image_gets_its_own_labels(bench: Any, picture: Any) -> None:
    first = bench.viewer.add_image(picture)
    second = bench.viewer.add_image(picture.copy())
    bench.viewer.layers.selection.active = first
    bench.open()
    bench.keep(20, 30)
    labels = bench.labels
    bench.click(40, 50)
    own = (bench.points, bench.preview)
    bench.it.choose_image(second)
    # Layers that fit are used again, emptied.
    assert (bench.points, bench.preview) == own
    assert len(bench.points.data) == 0
    assert not np.asarray(bench.preview.data).any()
    assert list(bench.viewer.layers)[-2:] == [bench.preview, bench.points]
    assert "unfinished object was discarded" in bench.said
    bench.idle()
    bench.keep(45, 60)
    assert bench.labels is not labels
    bench.it.choose_image(first)
    assert bench.labels is labels
    assert set(np.unique(labels.data)) == {0, 1}


def test_changed_pixels_are_handed_over_again(bench: Any, picture: Any) -> None:
    image = bench.viewer.add_image(picture)
    bench.open()
    bench.click(20, 30)
    image.data = 255 - picture
    bench.idle()
    assert bench.predictors[0].images[-1][0][0, 0] == 255 - picture[0, 0]
    assert len(bench.clicks) == 1
    image.data = np.zeros((30, 30), np.uint8)
    bench.qtbot.waitUntil(lambda: bench.it.scene.layout is not None, timeout=5000)
    bench.idle()
    assert bench.clicks == ()
    assert bench.keep(20, 20) == 1


def test_scale_translate_rotate(bench: Any, picture: Any) -> None:
    image = bench.viewer.add_image(
        picture, scale=(0.5, 0.25), translate=(100, -7), rotate=20, shear=[0.2]
    )
    bench.open()
    for layer in (bench.points, bench.preview):
        np.testing.assert_allclose(layer.scale, image.scale)
    bench.click(20, 30)
    where = bench.preview.data_to_world((6, 6))
    np.testing.assert_allclose(where, image.data_to_world((20, 30)), atol=1e-9)
    bench.it.accept()
    np.testing.assert_allclose(
        bench.labels.data_to_world((3, 5)), image.data_to_world((3, 5)), atol=1e-9
    )
    bench.click(40, 50)
    image.scale, image.translate = (2, 3), (5, 5)
    np.testing.assert_allclose(
        bench.points.data_to_world((40, 50)), image.data_to_world((40, 50)), atol=1e-9
    )
    where = bench.preview.data_to_world((6, 6))
    np.testing.assert_allclose(where, image.data_to_world((40, 50)), atol=1e-9)


@pytest.mark.parametrize(
    "how", ["clicks", "other image", "channels", "shape", "removed image", "dock", "widget"]
)
def test_a_reopened_object_is_never_lost(bench: Any, picture: Any, how: str) -> None:
    """Whatever ends the work on it, it is in the labels again as it was."""
    first = bench.viewer.add_image(picture, name="first")
    stack = bench.viewer.add_image(np.stack([picture] * 3), visible=False)
    image = stack if how == "channels" else first
    bench.viewer.layers.selection.active = image
    bench.open()
    bench.keep(*(0,) * (image.ndim - 2), 20, 30)
    labels = bench.labels
    before = labels.data.copy()
    bench.it.reopen()
    bench.click(*(0,) * (image.ndim - 2), 20, 34)
    assert not labels.data.any()
    if how == "clicks":
        bench.viewer.layers.remove(bench.points)
        assert "1 is as it was" in bench.said
    elif how == "other image":
        bench.it.choose_image(stack)
        assert "1 is as it was" in bench.said
    elif how == "channels":
        bench.it.choose_image(image, 0)
    elif how == "shape":
        image.data = np.zeros((30, 30), np.uint8)
        bench.qtbot.waitUntil(lambda: bench.it.scene.image is not None, timeout=5000)
    elif how == "removed image":
        bench.viewer.layers.remove(image)
    elif how == "dock":
        bench.viewer.window.remove_dock_widget(bench.widget)
    else:
        bench.widget.close()
    np.testing.assert_array_equal(labels.data, before)
    if how == "clicks":
        # The history goes on over it.
        bench.it.undo()
        assert not labels.data.any()
        bench.it.redo()
        np.testing.assert_array_equal(labels.data, before)


def test_closing_the_viewer_with_a_reopened_object(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    labels = bench.labels
    bench.it.reopen()
    bench.viewer.close()
    bench.qtbot.waitUntil(lambda: threads() == [], timeout=10_000)
    assert labels.data.any()
