"""The annotation loop on a viewer: click, mask, accept, undo, reopen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_inter2former._qt._contrast import Contrast

pytestmark = pytest.mark.qt


def disc(shape: tuple[int, int], row: float, column: float, radius: float = 6) -> Any:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def shown(bench: Any) -> Any:
    """The preview as a mask of the image's shape."""
    full = np.zeros(bench.it.scene.image.data.shape, dtype=bool)
    data = np.asarray(bench.preview.data) > 0
    corner = [round(float(v)) for v in bench.preview.translate]
    full[corner[0] : corner[0] + data.shape[0], corner[1] : corner[1] + data.shape[1]] = data
    return full


def test_it_finds_the_image_and_is_ready(bench: Any, picture: Any) -> None:
    image = bench.viewer.add_image(picture, name="cells")
    bench.open()
    assert bench.it.scene.image is image
    # napari takes long over a new layer, so it is there before the first object.
    assert bench.widget.labels_box.currentText() == bench.labels.name == "cells objects"
    assert not bench.labels.data.any()
    assert bench.it.link.model == "tiny"
    assert bench.viewer.layers.selection.active is bench.points
    assert bench.points.mode == "add"
    assert bench.it.status.todo == "Click an object."
    assert ("prefetch", (29.5, 39.5)) in bench.predictors[0].calls


def test_click_shows_mask_and_accept_keeps_it(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.click(20, 30)
    np.testing.assert_array_equal(shown(bench), disc((60, 80), 20, 30))
    assert "Enter" in bench.it.status.todo
    bench.it.accept()
    np.testing.assert_array_equal(bench.labels.data, disc((60, 80), 20, 30).astype(int))
    assert bench.labels.data.dtype == np.int32
    assert bench.said == "Object 1 is kept: 113 pixels."
    assert len(bench.points.data) == 0
    assert not shown(bench).any()
    assert bench.viewer.layers.selection.active is bench.points
    assert bench.keep(45, 60) == 2


def test_clicks_and_undo_redraw_no_point_that_looks_right(bench: Any, picture: Any) -> None:
    from napari_inter2former._qt._own_layers import set_polarity

    bench.viewer.add_image(picture)
    bench.open()
    redrawn: list[str] = []
    for name in ("symbol", "face_color"):
        getattr(bench.points.events, name).connect(lambda event: redrawn.append(event.type))
    for positive in (True, False, True):
        set_polarity(bench.points, positive)  # as a mouse button does
        bench.points.add((20, 30))
        bench.idle()
    assert [str(symbol) for symbol in bench.points.symbol] == ["disc", "x", "disc"]
    assert list(bench.points.size) == [8, 11, 8]
    bench.it.undo()
    bench.it.redo()
    assert not redrawn
    # Moves through the history are one redrawing each, of what they change.
    for name in ("set_data", "thumbnail", "data", "translate", "shear"):
        for layer in (bench.points, bench.preview):
            where = "points" if layer is bench.points else "preview"
            getattr(layer.events, name).connect(lambda e, w=where: redrawn.append(f"{w} {e.type}"))
    bench.it.undo()
    assert redrawn == ["points set_data", "preview set_data"]
    redrawn.clear()
    bench.it.redo()
    bench.idle()
    assert redrawn == ["points set_data", "preview set_data"]
    redrawn.clear()
    bench.it.scene.clicks.show(bench.clicks, bench.it.scene.plane())
    assert not redrawn
    bench.points.symbol = "star"
    bench.it.undo()
    assert [str(symbol) for symbol in bench.points.symbol] == ["disc", "x"]


@pytest.mark.parametrize("shear", [[0.3], [[1, 0], [0.3, 1]]])
def test_a_transform_that_is_there_is_not_set_again(shear: Any) -> None:
    from napari.layers import Image, Labels

    from napari_inter2former._qt._own_layers import set_transform, transform_of
    from napari_inter2former.annotation.planes import StackLayout

    image = Image(np.zeros((4, 5)), scale=(2, 3), translate=(1, 2), rotate=20, shear=shear)
    transform = transform_of(image, StackLayout((4, 5)))
    layer = Labels(np.zeros((4, 5), np.uint8), **transform)
    np.testing.assert_allclose(layer.data_to_world((3, 4)), image.data_to_world((3, 4)))
    said: list[str] = []
    layer.events.connect(lambda event: said.append(event.type))
    set_transform(layer, transform)
    assert not said
    image.shear = [0.4]
    set_transform(layer, transform_of(image, StackLayout((4, 5))))
    assert "shear" in said
    np.testing.assert_allclose(layer.data_to_world((3, 4)), image.data_to_world((3, 4)))


def test_the_mask_of_a_huge_object_is_shown_in_its_place(bench: Any, picture: Any) -> None:
    from napari_inter2former.annotation.pictures import mask_picture, picture_step

    image = bench.viewer.add_image(picture, scale=(0.5, 2), translate=(7, 9))
    bench.open()
    box = (100, 200, 3100, 2200)
    step = picture_step((3000, 2000))
    plane = bench.it.scene.plane()
    full = mask_picture(np.ones((3000, 2000), bool))
    bench.it.scene.preview.show(image, plane, box, full)
    layer = bench.preview
    assert step > 1
    assert layer.data.shape == full.shape
    half = np.array([0.5, 0.5])
    np.testing.assert_allclose(
        layer.data_to_world(-half), image.data_to_world(np.array(box[:2]) - half)
    )
    np.testing.assert_allclose(
        layer.data_to_world((3000 / step, 2000 / step) - half),
        image.data_to_world(np.array(box[2:]) - half),
    )
    bench.it.scene.preview.show(image, plane, (1, 2, 3, 4), np.ones((2, 2), np.uint8))
    np.testing.assert_allclose(layer.data_to_world((0, 0)), image.data_to_world((1, 2)))


def test_an_object_begins_with_a_left_click(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.click(20, 30, positive=False)
    assert "Left-click" in bench.said
    assert not bench.clicks
    assert not len(bench.points.data)
    assert all(name != "predict" for name, _ in bench.predictors[0].calls)


def test_negative_click_has_other_colour_and_symbol(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.click(20, 30)
    bench.click(20, 34, positive=False)
    assert [c.positive for c in bench.clicks] == [True, False]
    assert bench.points.symbol[0] != bench.points.symbol[1]
    assert not np.array_equal(bench.points.face_color[0], bench.points.face_color[1])
    np.testing.assert_array_equal(shown(bench), disc((60, 80), 20, 30) & ~disc((60, 80), 20, 34))


def test_points_stay_editable(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.click(20, 30)
    bench.click(40, 50)
    bench.points.data = np.array([[20, 30], [45, 60]])
    bench.idle()
    assert (bench.clicks[1].row, bench.clicks[1].column) == (45, 60)
    bench.points.selected_data = {0}
    bench.points.remove_selected()
    bench.idle()
    assert [(c.row, c.column) for c in bench.clicks] == [(45, 60)]
    np.testing.assert_array_equal(shown(bench), disc((60, 80), 45, 60))
    bench.points.features = {"positive": [False]}
    bench.idle()
    assert "Left-click the object" in bench.said
    assert bench.clicks[0].positive
    assert bench.points.features["positive"].tolist() == [True]
    for _ in range(2):
        bench.it.undo()
    bench.idle()
    assert [(c.row, c.column) for c in bench.clicks] == [(20, 30), (40, 50)]
    bench.points.features = {"positive": [True, False]}
    bench.idle()
    assert [c.positive for c in bench.clicks] == [True, False]
    for _ in range(2):
        bench.it.undo()
    bench.idle()
    assert [(c.row, c.column, c.positive) for c in bench.clicks] == [(20, 30, True)]


def test_one_history_over_clicks_and_objects(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    bench.keep(20, 40)
    bench.click(45, 60)
    bench.it.undo()
    assert bench.clicks == ()
    bench.it.undo()  # the second object
    assert set(np.unique(bench.labels.data)) == {0, 1}
    assert [(c.row, c.column) for c in bench.clicks] == [(20, 40)]
    # Its mask is there at once, without a request.
    np.testing.assert_array_equal(shown(bench), disc((60, 80), 20, 40))
    for _ in range(3):
        bench.it.undo()
    assert not bench.labels.data.any()
    bench.it.undo()
    assert bench.said == "Nothing to undo."
    for _ in range(5):
        bench.it.redo()
    bench.idle()
    assert set(np.unique(bench.labels.data)) == {0, 1, 2}
    assert [(c.row, c.column) for c in bench.clicks] == [(45, 60)]
    np.testing.assert_array_equal(shown(bench), disc((60, 80), 45, 60))


def test_other_objects_are_left_alone(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    before = bench.labels.data == 1
    bench.keep(20, 36)
    overlap = int((disc((60, 80), 20, 30) & disc((60, 80), 20, 36)).sum())
    assert bench.said.endswith(f"{overlap} pixels of other objects left alone.")
    np.testing.assert_array_equal(bench.labels.data == 1, before)


def test_replacing_is_one_choice_away_and_can_be_undone(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    before = bench.labels.data.copy()
    bench.widget.rule_box.setCurrentIndex(1)
    bench.widget.rule_box.activated.emit(1)
    bench.keep(20, 36)
    np.testing.assert_array_equal(bench.labels.data == 2, disc((60, 80), 20, 36))
    bench.it.undo()
    np.testing.assert_array_equal(bench.labels.data, before)


def test_a_covered_mask_is_refused(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    bench.click(20, 30)
    bench.it.accept()
    assert "cover the whole mask" in bench.said
    assert len(bench.clicks) == 1


def test_discard_and_undo(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.click(20, 30)
    bench.it.discard()
    assert len(bench.points.data) == 0
    assert not shown(bench).any()
    bench.it.undo()
    assert len(bench.points.data) == 1
    np.testing.assert_array_equal(shown(bench), disc((60, 80), 20, 30))


def test_reopen_correct_and_keep_the_number(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    bench.keep(45, 60)
    bench.viewer.cursor.position = (20, 30)
    bench.it.reopen()
    assert set(np.unique(bench.labels.data)) == {0, 2}
    assert [(c.row, c.column) for c in bench.clicks] == [(20, 30)]
    bench.click(20, 34)
    bench.it.accept()
    expected = disc((60, 80), 20, 30) | disc((60, 80), 20, 34)
    np.testing.assert_array_equal(bench.labels.data == 1, expected)
    bench.viewer.cursor.position = (20, 30)
    bench.it.reopen()
    bench.click(28, 30)
    bench.it.discard()
    np.testing.assert_array_equal(bench.labels.data == 1, expected)


def test_clicks_during_encoding_are_answered_afterwards(bench: Any, picture: Any) -> None:
    bench.prepare = lambda predictor: predictor.gate.clear()
    bench.viewer.add_image(picture)
    bench.open(wait=False)
    bench.qtbot.waitUntil(lambda: bool(bench.predictors) and bench.it.link.encoding, timeout=9000)
    bench.click(20, 30, wait=False)
    bench.click(40, 30, wait=False)
    bench.it.accept()
    assert "Enter is taken" in bench.said
    # The next object waits: its click would make two objects one.
    bench.click(50, 70, wait=False)
    assert "when it is kept" in bench.said
    assert len(bench.points.data) == len(bench.clicks) == 2
    assert not bench.labels.data.any()
    bench.predictors[0].gate.set()
    bench.idle()
    expected = disc((60, 80), 20, 30) | disc((60, 80), 40, 30)
    np.testing.assert_array_equal(bench.labels.data == 1, expected)
    # The two clicks cost one mask.
    assert sum(name == "predict" for name, _ in bench.predictors[0].calls) == 1


def test_the_time_left_is_that_of_the_last_encoding(bench: Any, picture: Any) -> None:
    bench.prepare = lambda predictor: predictor.gate.clear()
    bench.viewer.add_image(picture)
    bench.open(wait=False)
    bench.qtbot.waitUntil(lambda: bool(bench.predictors) and bench.it.link.encoding, timeout=9000)
    # Nobody knows how long the first one takes.
    assert bench.widget.progress.format() == "Preparing the image"
    assert bench.widget.progress.maximum() == 0
    bench.it.link.encode_seconds = 3600.0
    bench.it.refresh()
    assert bench.widget.progress.format().endswith(" s left")
    assert bench.widget.progress.maximum() == 100
    bench.predictors[0].gate.set()
    bench.idle()
    assert bench.widget.progress.isHidden()
    assert 0 < bench.it.link.encode_seconds < 3600


def test_stale_masks_are_dropped(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.predictors[0].predict_time = 0.2
    bench.click(20, 30, wait=False)
    bench.qtbot.wait(60)  # the first mask is under way
    bench.it.undo()
    bench.idle()
    assert not shown(bench).any()
    assert bench.it.session.state.mask is None


def test_all_computing_is_in_one_thread(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    bench.it.choose_model("mine")
    bench.idle()
    assert {name for p in bench.predictors for name in p.threads} == {"inter2former"}


def test_another_model_keeps_labels_and_clicks(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    bench.click(45, 60)
    before = bench.labels.data.copy()
    bench.prepare = lambda predictor: setattr(predictor, "radius", 3)
    bench.it.choose_model("mine")
    bench.idle()
    np.testing.assert_array_equal(bench.labels.data, before)
    assert len(bench.clicks) == 1
    np.testing.assert_array_equal(shown(bench), disc((60, 80), 45, 60, 3))


def test_the_dock_reads_the_table_of_keys(
    bench: Any, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtCore import QEvent, Qt
    from qtpy.QtGui import QKeyEvent

    from napari_inter2former._qt import _dock
    from napari_inter2former._qt._keys import Key

    keys = (
        Key("accept", "Enter", "Enter"),
        Key("undo", "Control-Shift-K", "K"),
        Key("hide", "J", "hold J", hold=True),
    )
    monkeypatch.setattr(_dock, "KEYS", keys)
    bench.viewer.add_image(picture)
    bench.open()
    none, control = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier
    shift = Qt.KeyboardModifier.ShiftModifier

    def press(key: Any, held: Any) -> None:
        bench.widget.keyPressEvent(QKeyEvent(QEvent.Type.KeyPress, key, held))

    bench.click(20, 30)
    press(Qt.Key.Key_Return, none)
    assert bench.labels.data.any()
    press(Qt.Key.Key_J, none)
    assert not bench.labels.visible
    # It may be let go while others are held.
    bench.widget.keyReleaseEvent(QKeyEvent(QEvent.Type.KeyRelease, Qt.Key.Key_J, shift))
    assert bench.labels.visible
    press(Qt.Key.Key_K, control)
    assert bench.labels.data.any()
    press(Qt.Key.Key_K, control | shift)
    assert not bench.labels.data.any()


def test_hide_while_held(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    bench.click(45, 60)
    bench.labels.visible = True
    bench.it.hide(True)
    assert not bench.labels.visible
    assert not bench.preview.visible
    assert bench.points.opacity == 0
    bench.it.hide(False)
    assert bench.labels.visible
    assert bench.preview.visible
    assert bench.points.opacity == 1


def test_previews_never_touch_accepted_labels(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    before = bench.labels.data.copy()
    for column in range(20, 50, 3):
        bench.click(20, column)
    bench.it.discard()
    np.testing.assert_array_equal(bench.labels.data, before)
    assert bench.preview.data.base is not bench.labels.data
    assert bench.preview.data.size < bench.labels.data.size


def test_paint_between_accept_and_undo_survives(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    bench.labels.data_setitem((np.array([20]), np.array([30])), 9)
    bench.it.undo()
    assert bench.labels.data[20, 30] == 9
    assert np.count_nonzero(bench.labels.data) == 1


def test_an_object_of_other_origin_shows_its_mask_when_it_is_opened(
    bench: Any, picture: Any
) -> None:
    """Enter at once takes what one click in its middle draws."""
    layer = bench.viewer.add_image(picture)
    labels = np.zeros(picture.shape, np.int32)
    labels[15:26, 25:36] = 4
    bench.viewer.add_labels(labels)
    bench.viewer.layers.selection.active = layer
    bench.open()
    bench.it.choose_labels(bench.viewer.layers["labels"])
    bench.idle()
    bench.viewer.cursor.position = (20, 30)
    bench.it.reopen()
    assert not bench.labels.data.any()
    bench.idle()
    np.testing.assert_array_equal(shown(bench), disc((60, 80), 20, 30))
    bench.it.accept()
    np.testing.assert_array_equal(bench.labels.data == 4, disc((60, 80), 20, 30))


def test_each_plane_of_an_object_is_opened_where_it_is(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(np.stack([picture] * 4))
    bench.open()
    bench.labels.data[:] = np.where(disc((60, 80), 20, 30), 1, 0)
    bench.labels.refresh()
    for plane in (1, 3):
        bench.viewer.dims.set_point(0, plane)
        bench.viewer.cursor.position = (plane, 20, 30)
        bench.it.reopen()
        bench.idle()
        assert bench.viewer.dims.current_step[0] == plane
        bench.click(plane, 20, 36)
        bench.it.accept()
    area = np.count_nonzero(bench.labels.data, axis=(1, 2))
    assert area[0] == area[2] < area[1] == area[3]
    assert set(np.unique(bench.labels.data)) == {0, 1}


def test_what_the_user_erased_stays_erased(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    bench.labels.data[18:21, 24:37] = 0
    before = bench.labels.data.copy()
    bench.viewer.cursor.position = (23, 30)
    bench.it.reopen()
    assert not bench.labels.data.any()
    bench.it.discard()
    np.testing.assert_array_equal(bench.labels.data, before)


def test_enter_asks_again_for_a_mask_that_failed(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    predictor = bench.predictors[0]
    real = predictor.predict
    predictor.predict = lambda prompts: (_ for _ in ()).throw(OSError("The store is away."))
    bench.click(20, 30)
    assert "store is away" in bench.said
    predictor.predict = real
    bench.it.accept()
    bench.idle()
    np.testing.assert_array_equal(bench.labels.data == 1, disc((60, 80), 20, 30))
    bench.click(40, 50)
    assert len(bench.clicks) == 1


def test_all_visible_images_are_those_of_now(bench: Any, picture: Any) -> None:
    """Channels that come, change and go are noticed where all visible images count."""
    first = bench.viewer.add_image(picture, name="first")
    bench.viewer.layers.selection.active = first
    bench.open()
    bench.it.choose_contrast(Contrast.VISIBLE)
    bench.idle()
    seen = len(bench.predictors[0].images)

    def looks_again() -> bool:
        nonlocal seen
        before, seen = seen, len(bench.predictors[0].images)
        return seen > before

    second = bench.viewer.add_image(picture // 2, name="second")
    bench.qtbot.waitUntil(looks_again)
    second.data = picture // 3
    bench.qtbot.waitUntil(looks_again)
    bench.viewer.layers.remove(second)
    bench.qtbot.waitUntil(looks_again)
    bench.it.choose_contrast(Contrast.PERCENTILES)
    bench.idle()
    seen = len(bench.predictors[0].images)
    bench.viewer.add_image(picture // 2, name="third")
    bench.qtbot.wait(500)
    bench.idle()
    assert not looks_again()


def test_labels_follow_an_image_that_is_scaled(bench: Any, picture: Any) -> None:
    image = bench.viewer.add_image(picture)
    apart = bench.viewer.add_labels(np.zeros(picture.shape, int), scale=(3, 3), name="apart")
    bench.viewer.layers.selection.active = image
    bench.open()
    image.scale = (0.5, 0.25)
    image.translate = (10, 20)
    np.testing.assert_allclose(bench.labels.scale, (0.5, 0.25))
    np.testing.assert_allclose(bench.labels.translate, (10, 20))
    bench.keep(20, 30)
    bench.keep(45, 60)
    bench.viewer.cursor.position = (10 + 0.5 * 20, 20 + 0.25 * 30)
    bench.it.reopen()
    assert set(np.unique(bench.labels.data)) == {0, 2}
    bench.it.discard()
    # Labels that lie elsewhere on purpose stay there.
    bench.it.choose_labels(apart)
    image.scale = (2, 2)
    np.testing.assert_allclose(apart.scale, (3, 3))


def test_objects_are_removed_and_come_back(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.keep(20, 30)
    bench.keep(45, 60)
    bench.labels.data[50:55, 5:10] = 7  # painted
    before = bench.labels.data.copy()
    bench.click(20, 60)
    bench.viewer.cursor.position = (20, 30)
    bench.widget.buttons["remove"].click()
    assert set(np.unique(bench.labels.data)) == {0, 2, 7}
    # The object that is being clicked is not touched.
    assert len(bench.clicks) == 1
    np.testing.assert_array_equal(shown(bench), disc((60, 80), 20, 60))
    bench.viewer.cursor.position = (52, 7)
    bench.it.remove()
    assert set(np.unique(bench.labels.data)) == {0, 2}
    bench.it.remove()
    assert "no object under the mouse" in bench.said
    for _ in range(2):
        bench.it.undo()
    np.testing.assert_array_equal(bench.labels.data, before)
    bench.it.redo()
    assert set(np.unique(bench.labels.data)) == {0, 2, 7}
    # Points that are selected are what napari's own key removes.
    bench.points.mode = "select"
    bench.points.selected_data = {0}
    bench.it.remove()
    bench.idle()
    assert not bench.clicks
    assert set(np.unique(bench.labels.data)) == {0, 2, 7}
