"""An image far larger than memory: clicks, accepts, undoes; contrast as displayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_inter2former._qt._contrast import Contrast
from napari_inter2former._qt._targets import LARGE_STACK, array_of
from napari_inter2former._sparse import SparseLabels

pytestmark = pytest.mark.qt

SIDE = 50_000


class Lazy:
    """A level of a large picture, made as it is read."""

    ndim = 2
    dtype = np.dtype(np.uint16)

    def __init__(self, step: int) -> None:
        self.step = step
        self.shape = (SIDE // step, SIDE // step)
        self.size = self.shape[0] * self.shape[1]
        self.largest = 0

    def __getitem__(self, index: Any) -> Any:
        index = index if isinstance(index, tuple) else (index,)
        index += (slice(None),) * (2 - len(index))
        rows, columns = (np.arange(n)[i] for i, n in zip(index, self.shape, strict=True))
        self.largest = max(self.largest, rows.size * columns.size)
        return np.add.outer(rows // 50, columns // 50).astype(np.uint16) % 99

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self[:, :], dtype=dtype)


def small_disc(predictor: Any) -> None:
    """Let the stand-in draw within a box, as the real predictor does."""

    def predict(prompts: Any) -> Any:
        rows, columns = np.mgrid[-20:21, -20:21]
        r, c = int(prompts[0].row), int(prompts[0].column)
        mask = rows**2 + columns**2 <= 400 * len(prompts) / 2
        return type("Mask", (), {"data": mask, "box": (r - 20, c - 20, r + 21, c + 21)})()

    predictor.predict = predict


@pytest.fixture
def large(bench: Any) -> Any:
    bench.prepare = small_disc
    levels = [Lazy(step) for step in (1, 4, 16, 64)]
    bench.levels = levels
    bench.viewer.add_image(levels, multiscale=True, contrast_limits=(0, 99))
    bench.open()
    return bench


def test_clicks_accepts_and_undoes_on_a_large_multiscale_layer(large: Any) -> None:
    bench = large
    assert bench.keep(40_000, 12_345) == 1
    labels = array_of(bench.labels)
    assert isinstance(labels, SparseLabels)
    assert labels.shape == (SIDE, SIDE)
    assert labels.nbytes <= 4 * 4 * 512 * 512
    assert int(labels[40_000, 12_345]) == 1
    assert bench.keep(30_000, 49_000) == 2
    box = labels[29_900:30_100, 48_900:49_100]
    assert set(np.unique(box)) == {0, 2}
    bench.it.undo()
    assert not labels[29_900:30_100, 48_900:49_100].any()
    bench.it.redo()
    np.testing.assert_array_equal(labels[29_900:30_100, 48_900:49_100], box)
    bench.viewer.cursor.position = (40_000, 12_345)
    bench.it.reopen()
    assert not labels[39_900:40_100, 12_200:12_500].any()
    bench.click(40_005, 12_345)
    bench.it.accept()
    assert (labels[39_900:40_100, 12_200:12_500] == 1).sum() > (box == 2).sum()
    # Nobody read a large part of the full resolution, and the layer can be chosen again.
    assert bench.levels[0].largest < 10_000_000
    layer = bench.labels
    bench.it.choose_labels(None)
    bench.it.choose_labels(layer)
    assert bench.labels is layer
    assert bench.keep(20_000, 20_000) == 3


def test_writes_touch_only_the_objects_box(large: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    real = SparseLabels.__setitem__

    def note(self: Any, key: Any, values: Any) -> None:
        written.append(key)
        real(self, key, values)

    monkeypatch.setattr(SparseLabels, "__setitem__", note)
    large.keep(40_000, 12_345)
    large.it.undo()
    assert len(written) == 2
    for rows, columns in written:
        assert 39_980 <= rows.start <= rows.stop <= 40_021
        assert 12_325 <= columns.start <= columns.stop <= 12_366


def test_large_objects_are_written_past_naparis_undo(
    bench: Any, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_inter2former._qt._targets.AT_ONCE", 99)
    bench.viewer.add_image(picture)
    labels = bench.viewer.add_labels(np.arange(4800, dtype=np.int32).reshape(60, 80))
    before = labels.data.copy()
    bench.open()
    bench.it.choose_labels(labels)
    bench.widget.rule_box.setCurrentIndex(1)
    bench.widget.rule_box.activated.emit(1)
    monkeypatch.setattr(labels, "data_setitem", None)
    assert bench.keep(20, 30) == 4800
    assert (labels.data == 4800).sum() == 113
    bench.it.undo()
    np.testing.assert_array_equal(labels.data, before)


def test_other_multiscale_labels_are_still_refused(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    levels = [np.zeros((60, 80), np.int32), np.zeros((30, 40), np.int32)]
    layer = bench.viewer.add_labels(levels, multiscale=True)
    bench.open()
    bench.it.choose_labels(layer)
    assert bench.labels is not layer
    assert "multiscale" in bench.said


def seen(bench: Any) -> Any:
    """What the model would get, at the zoom 1."""
    from napari_inter2former.images import as_image_source

    image, channel_axis, rgb = bench.predictors[0].images[-1]
    return as_image_source(image, channel_axis, rgb).read(0, 0, 60, 80, 0)


def test_contrast_as_displayed_follows_the_layers(bench: Any, picture: Any) -> None:
    first = bench.viewer.add_image(picture, colormap="green", blending="additive")
    second = bench.viewer.add_image(picture[::-1].copy(), colormap="red", blending="additive")
    far = bench.viewer.add_image(picture, translate=(9, 9))
    bench.viewer.layers.selection.active = first
    bench.open()
    automatic = seen(bench)
    np.testing.assert_array_equal(automatic[..., 0], automatic[..., 1])

    box = bench.widget.contrast_box
    box.setCurrentIndex(1)
    box.activated.emit(1)
    bench.idle()
    assert bench.it.scene.contrast is Contrast.DISPLAYED
    first.contrast_limits = (50, 150)
    bench.it.look()
    bench.idle()
    scaled = np.clip((picture.astype(float) - 50) / 100, 0, 1)
    np.testing.assert_allclose(seen(bench)[..., 1], scaled, atol=1e-3)
    assert not seen(bench)[..., 0].any()

    box.setCurrentIndex(2)
    box.activated.emit(2)
    bench.idle()
    assert far.visible
    out = seen(bench)
    np.testing.assert_allclose(out[..., 1], scaled, atol=1e-3)
    low, high = second.contrast_limits
    expected = np.clip((picture[::-1] - float(low)) / (high - low), 0, 1)
    np.testing.assert_allclose(out[..., 0], expected, atol=1e-3)
    assert not out[..., 2].any()
    second.visible = False
    bench.it.look()
    bench.idle()
    assert not seen(bench)[..., 0].any()


def test_a_click_that_waits_outlives_a_change_of_contrast(bench: Any, picture: Any) -> None:
    layer = bench.viewer.add_image(picture)
    bench.open()
    predictor = bench.predictors[0]
    predictor.gate.clear()  # the image is being encoded
    bench.it.choose_contrast(Contrast.DISPLAYED)
    bench.qtbot.waitUntil(lambda: bench.it.link.encoding, timeout=10_000)
    bench.click(30, 40, wait=False)
    layer.contrast_limits = (50, 150)
    bench.it.look()
    predictor.gate.set()
    bench.idle()
    assert not bench.it.session.pending
    assert bench.preview.visible


@pytest.mark.parametrize("shape", [(300, 950, 950), (80, 1024, 1024), (260, 1100, 1100)])
def test_stacks_are_annotated_painted_in_and_saved(
    bench: Any, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    """Above a limit only what was written is kept; napari's tools find a layer as any other."""
    bench.prepare = small_disc
    bench.viewer.add_image(
        np.broadcast_to(np.uint8(7), shape), contrast_limits=(0, 255), name="stack"
    )
    bench.open()
    middle = shape[0] // 2
    bench.viewer.dims.set_point(0, middle)
    assert bench.keep(middle, 200, 300) == 1
    layer = bench.labels
    assert isinstance(layer.data, SparseLabels) is bool(4 * np.prod(shape) > LARGE_STACK)
    assert not layer.multiscale
    layer.selected_label, layer.brush_size = 9, 10
    layer.paint((middle, 500, 500), 9)
    assert layer.data[middle, 500, 503] == 9
    layer.undo()
    assert layer.data[middle, 500, 503] == 0
    layer.fill((middle, 200, 300), 5)
    assert layer.data[middle, 205, 305] == 5
    plane = np.asarray(layer.data[middle])
    assert set(np.unique(plane)) == {0, 5}
    # What napari shows is what is there.
    layer.refresh()
    np.testing.assert_array_equal(np.asarray(layer._slice.image.raw), plane)
    if shape[0] < 100:
        (path,) = layer.save(str(tmp_path / "labels.tif"), plugin="napari")
        np.testing.assert_array_equal(tifffile.imread(path)[middle], plane)


def test_only_planes_that_need_one_have_a_pyramid(bench: Any) -> None:
    image = np.broadcast_to(np.uint8(7), (3, 9000, 9000))
    bench.viewer.add_image(image, contrast_limits=(0, 255))
    bench.open()
    assert bench.labels.multiscale
    assert isinstance(array_of(bench.labels), SparseLabels)
