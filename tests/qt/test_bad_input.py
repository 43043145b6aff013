"""Every kind of input that can't work, or only just: outcome and message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image

pytestmark = pytest.mark.qt


def test_no_image(bench: Any) -> None:
    bench.open()
    for action in ("accept", "discard", "undo", "redo", "reopen", "toggle_boxes", "go_on"):
        getattr(bench.it, action)()
    bench.it.hide(True)
    bench.it.hide(False)
    assert "Open an image" in bench.widget.todo.text()
    assert not any(button.isEnabled() for n, button in bench.widget.buttons.items() if n != "hide")


def test_nothing_to_accept(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.it.accept()
    assert "click an object first" in bench.said
    bench.click(20, 30)
    bench.click(20, 30, positive=False)
    bench.it.accept()
    assert "mask is empty" in bench.said
    assert not bench.labels.data.any()


@pytest.mark.parametrize("point", [(-3, 5), (5, 99), (59.6, 5), (5, -0.7)])
def test_clicks_outside_the_image(bench: Any, picture: Any, point: tuple[float, float]) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.click(20, 30)
    bench.click(*point)
    assert "outside the image" in bench.said
    assert len(bench.points.data) == len(bench.clicks) == 1
    # Dragged out of the image: it goes back.
    bench.points.data = np.array([point])
    bench.idle()
    np.testing.assert_allclose(bench.points.data, [[20, 30]])


def test_clicks_on_the_outermost_half_pixel(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open()
    bench.click(-0.4, 79.4)
    assert (bench.clicks[0].row, bench.clicks[0].column) == (0, 79)


@pytest.mark.parametrize(
    "dtype", [bool, np.int8, np.int16, np.int64, np.uint64, np.float16, np.float64]
)
def test_dtypes(bench: Any, picture: Any, dtype: type) -> None:
    bench.viewer.add_image(picture.astype(dtype))
    bench.open()
    assert bench.keep(20, 30) == 1


class Fourier(Image):
    """An image that is complex to us; napari fails on such data in one way or other."""

    transformed = False

    @property
    def data(self) -> Any:
        data = Image.data.fget(self)
        return data.astype(complex) if self.transformed else data


def test_complex_is_refused(bench: Any, picture: Any) -> None:
    good = bench.viewer.add_image(picture)
    bench.open()
    bad = Fourier(picture, name="fourier")
    bad.transformed = True
    bench.it.choose_image(bad)
    assert "complex128" in bench.said
    assert "numpy.abs" in bench.said
    assert bench.it.status.kind == "error"
    assert bench.it.scene.clicks is None
    bench.it.choose_image(good)
    bench.idle()
    assert bench.keep(20, 30) == 1


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_nan_and_constant_images(bench: Any, value: float) -> None:
    bench.viewer.add_image(np.full((40, 40), value, np.float32), contrast_limits=(0, 1))
    bench.open()
    assert bench.keep(20, 20) == 1


def test_one_pixel(bench: Any) -> None:
    bench.viewer.add_image(np.zeros((1, 1), np.uint8), contrast_limits=(0, 1))
    bench.open()
    bench.keep(0, 0)
    assert bench.labels.data.tolist() == [[1]]


def test_what_the_predictor_refuses_is_said(bench: Any, picture: Any) -> None:
    from napari_inter2former.errors import ImageError

    def refuse(*_: Any, **__: Any) -> None:
        raise ImageError("This chunk is damaged. Copy the file again.")

    bench.prepare = lambda predictor: setattr(predictor, "predict", refuse)
    bench.viewer.add_image(picture)
    bench.open()
    bench.click(20, 30)
    assert bench.said == "This chunk is damaged. Copy the file again."
    assert bench.it.status.kind == "error"
    bench.it.accept()
    bench.it.discard()
    assert bench.clicks == ()


def test_no_models(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    bench.open(models=())
    assert "No model is installed" in bench.said
    bench.click(20, 30)


def test_a_model_that_cant_be_loaded(bench: Any, picture: Any) -> None:
    from napari_inter2former.errors import WeightsError

    def prepare(predictor: Any) -> None:
        if predictor.name == "tiny":
            raise WeightsError("tiny.safetensors is truncated. Copy it again.")

    bench.prepare = prepare
    bench.viewer.add_image(picture)
    bench.open()
    assert "truncated" in bench.said
    bench.click(20, 30)
    bench.it.choose_model("mine")
    bench.idle()
    bench.it.accept()
    assert set(np.unique(bench.labels.data)) == {0, 1}


@pytest.mark.parametrize("channels", [3, 4])
def test_colours(bench: Any, channels: int) -> None:
    bench.viewer.add_image(np.zeros((50, 60, channels), np.uint8), rgb=True)
    bench.open()
    bench.keep(20, 30)
    image, channel_axis, rgb = bench.predictors[0].images[-1]
    assert (image.shape, channel_axis, rgb) == ((50, 60, channels), None, True)
    assert bench.labels.data.shape == (50, 60)


def test_channels_first(bench: Any) -> None:
    bench.viewer.add_image(np.zeros((3, 50, 60), np.uint8), contrast_limits=(0, 1))
    bench.open()
    assert bench.widget.channel_box.count() == 4
    bench.widget.channel_box.setCurrentIndex(1)
    bench.widget.channel_box.activated.emit(1)
    bench.idle()
    bench.viewer.dims.set_current_step(0, 2)
    bench.keep(20, 30)
    image, channel_axis, _ = bench.predictors[0].images[-1]
    assert (image.shape, channel_axis) == ((3, 50, 60), 0)
    assert bench.labels.data.shape == (50, 60)


def test_channels_in_the_middle_show_on_every_channel(bench: Any) -> None:
    image = bench.viewer.add_image(
        np.zeros((2, 3, 50, 60), np.uint8), contrast_limits=(0, 1), scale=(5, 2, 1, 1)
    )
    bench.open()
    bench.it.choose_image(image, 1)
    bench.idle()
    bench.viewer.dims.set_current_step(0, 1)
    bench.qtbot.wait(300)
    bench.idle()
    bench.click(1, 0, 20, 30)
    assert bench.predictors[0].images[-1][0].shape == (3, 50, 60)
    bench.it.accept()
    assert bench.labels.data.shape == (2, 1, 50, 60)
    for channel in range(3):
        bench.viewer.dims.set_current_step(1, channel)
        bench.qtbot.wait(1)
        assert bench.labels._slice.image.raw.any()


@pytest.mark.parametrize("shape", [(4, 50, 60), (2, 4, 50, 60)])
def test_stacks_use_the_current_slice(bench: Any, shape: tuple[int, ...]) -> None:
    data = np.random.default_rng(1).random(shape).astype(np.float32)
    bench.viewer.add_image(data, scale=[3.0] * (len(shape) - 2) + [1, 1])
    bench.open()
    place = [1, 3][-len(shape) + 2 :]
    for axis, at in enumerate(place):
        bench.viewer.dims.set_current_step(axis, at)
    bench.keep(*place, 20, 30)
    np.testing.assert_array_equal(bench.predictors[0].images[-1][0], data[tuple(place)])
    assert bench.labels.data[tuple(place)].sum() == bench.labels.data.sum() == 113
    # An unfinished object stays in its slice, and clicks elsewhere don't mix with it.
    bench.click(*place, 40, 30)
    bench.viewer.dims.set_current_step(len(place) - 1, 0)
    bench.click(*place[:-1], 0, 20, 30)
    assert "current object is on slice" in bench.said
    assert len(bench.clicks) == len(bench.points.data) == 1
    bench.it.accept()
    assert bench.labels.data[tuple(place)].max() == 2
    # Undo goes to the slice of what it undoes.
    bench.it.undo()
    assert bench.viewer.dims.current_step[len(place) - 1] == place[-1]


def test_rolled_dimensions(bench: Any) -> None:
    data = np.random.default_rng(1).random((30, 40, 50)).astype(np.float32)
    bench.viewer.add_image(data)
    bench.open()
    bench.viewer.dims.order = (1, 2, 0)
    bench.viewer.dims.set_current_step(1, 7)
    bench.keep(15, 7, 25)
    np.testing.assert_array_equal(bench.predictors[0].images[-1][0], data[:, 7])
    assert bench.labels.data[:, 7].sum() == bench.labels.data.sum() == 113


def test_three_dimensional_view(bench: Any) -> None:
    bench.viewer.add_image(np.zeros((4, 50, 60), np.uint8), contrast_limits=(0, 1))
    bench.open()
    bench.viewer.dims.ndisplay = 3
    assert "2-D view" in bench.it.status.todo
    bench.click(1, 20, 30)
    assert "2-D view" in bench.said
    assert len(bench.points.data) == 0
    bench.viewer.dims.ndisplay = 2
    bench.click(bench.viewer.dims.current_step[0], 20, 30)
    assert len(bench.clicks) == 1


def test_multiscale(bench: Any, picture: Any) -> None:
    levels = [np.zeros((64, 80), np.uint8), np.zeros((32, 40), np.uint8)]
    bench.viewer.add_image(levels, multiscale=True, contrast_limits=(0, 1))
    bench.open()
    bench.keep(20, 30)
    assert [level.shape for level in bench.predictors[0].images[-1][0]] == [(64, 80), (32, 40)]
    assert bench.labels.data.shape == (64, 80)


def test_labels_of_another_shape_are_refused(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    labels = bench.viewer.add_labels(np.zeros((60, 81), np.int32), name="small")
    bench.open()
    index = bench.widget.labels_box.findText("small")
    bench.widget.labels_box.setCurrentIndex(index)
    bench.widget.labels_box.activated.emit(index)
    assert "'small' has another shape (60 x 81) than the image (60 x 80)" in bench.said
    assert bench.it.status.kind == "error"
    assert bench.labels is not labels
    assert bench.widget.labels_box.currentText() == bench.labels.name
    assert not labels.data.any()


def test_existing_labels_are_numbered_on(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    data = np.zeros((60, 80), np.int16)
    data[:10] = 41
    labels = bench.viewer.add_labels(data)
    bench.open()
    bench.it.choose_labels(labels)
    # Accepting doesn't wait for the count, nor guess.
    bench.click(12, 30)
    bench.it.accept()
    bench.idle()
    assert (labels.data == 42).sum() > 0
    assert (labels.data[:10] == 41).all()
    labels.selected_label = 50
    assert bench.keep(45, 60) == 51


def test_painted_numbers_are_never_given_out(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    labels = bench.viewer.add_labels(np.zeros((60, 80), np.int32))
    bench.open()
    bench.it.choose_labels(labels)
    bench.idle()
    # With the brush as it was, which no event has told of.
    labels.paint((45, 60), labels.selected_label)
    assert bench.keep(20, 30) == 2
    # While nobody watches the layer.
    bench.it.choose_labels(None)
    labels.selected_label = 5
    labels.paint((45, 10), 5)
    bench.it.choose_labels(labels)
    # While its labels are counted.
    labels.selected_label = 7
    labels.paint((10, 10), 7)
    bench.idle()
    assert bench.keep(10, 60) == 8


def test_labels_that_cant_be_read_are_given_up(bench: Any, picture: Any) -> None:
    class Damaged(np.ndarray):
        """Fails as a chunk on disk does, after napari has shown it."""

        damaged = False

        def __getitem__(self, region: Any) -> Any:
            if self.damaged:
                raise OSError("chunk 3.1 is damaged")
            return super().__getitem__(region)

    bench.viewer.add_image(picture)
    labels = bench.viewer.add_labels(np.zeros((60, 80), np.int32).view(Damaged), name="old")
    bench.open()
    Damaged.damaged = True
    bench.click(20, 30)
    bench.it.choose_labels(labels)
    bench.idle()
    Damaged.damaged = False
    assert bench.said == (
        "'old' can't be read (OSError: chunk 3.1 is damaged). Objects go to a new labels layer."
    )
    assert bench.it.status.kind == "error"
    bench.it.accept()
    assert bench.labels is not labels
    assert (bench.labels.data == 1).any()


def test_unsigned_8_bit_labels_run_out(bench: Any, picture: Any) -> None:
    bench.viewer.add_image(picture)
    data = np.zeros((60, 80), np.uint8)
    data[0, 0] = 254
    labels = bench.viewer.add_labels(data)
    bench.open()
    bench.it.choose_labels(labels)
    bench.idle()
    assert bench.keep(20, 30) == 255
    bench.click(45, 60)
    bench.it.accept()
    assert "uint8 ends at 255" in bench.said
    assert "Convert it to int32" in bench.said
    assert len(bench.clicks) == 1
    # Doing what the message says works.
    labels.data = labels.data.astype(np.int32)
    bench.idle()
    bench.it.accept()
    assert labels.data[45, 60] == 256


def test_read_only_labels_are_refused(bench: Any, picture: Any) -> None:
    da = pytest.importorskip("dask.array")
    bench.viewer.add_image(picture)
    labels = bench.viewer.add_labels(da.zeros((60, 80), dtype=np.int32, chunks=20), name="lazy")
    bench.open()
    bench.it.choose_labels(labels)
    assert "'lazy' can't be written to" in bench.said
    assert bench.labels is not labels


def test_lazy_images(bench: Any) -> None:
    da = pytest.importorskip("dask.array")
    bench.viewer.add_image(
        da.zeros((4, 64, 80), dtype=np.uint8, chunks=(1, 32, 40)), contrast_limits=(0, 1)
    )
    bench.open()
    bench.keep(bench.viewer.dims.current_step[0], 20, 30)
    assert hasattr(bench.predictors[0].images[-1][0], "dask")
