"""Planes of stacks: axes, channels, levels, lazy reading."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_inter2former.annotation.planes import LazyPlane, Plane, StackLayout, read_clicks
from napari_inter2former.errors import ImageError, PromptError


class Recorder:
    """An array that only allows slicing, and remembers how it was asked."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.asked: list[Any] = []

    def __getitem__(self, key: Any) -> Any:
        self.asked.append(key)
        return self.array[key]


def stack(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape)


def test_flat_image() -> None:
    layout = StackLayout((30, 40))
    plane = layout.plane((1, 0), (3.2, 4.9))
    assert plane == Plane((0, 1), (0, 0), (30, 40))
    image = stack(30, 40)
    (cut,), channels = layout.cut([image], plane)
    assert cut is image
    assert channels is None
    assert plane.describe() == ""


@pytest.mark.parametrize("displayed", [(2, 3), (1, 3), (0, 2), (3, 1)])
def test_every_plane_of_a_stack(displayed: tuple[int, int]) -> None:
    image = stack(3, 4, 5, 6)
    layout = StackLayout(image.shape)
    plane = layout.plane(displayed, (1.4, 2.2, 9.0, 1.0))
    (cut,), _ = layout.cut([image], plane)
    position = [1, 2, 4, 1]
    index = tuple(slice(None) if i in displayed else position[i] for i in range(4))
    np.testing.assert_array_equal(cut, image[index])
    assert np.shares_memory(cut, image)
    np.testing.assert_array_equal(image[plane.region((1, 2, 3, 4))], cut[1:3, 2:4])
    rows, columns = np.array([0, 2]), np.array([1, 3])
    np.testing.assert_array_equal(image[plane.indices(rows, columns)], cut[rows, columns])
    point = plane.point(2.5, 3.5)
    assert plane.holds(point)
    assert plane.position(point) == (2.5, 3.5)
    other = next(i for i in range(4) if i not in displayed)
    moved = list(point)
    moved[other] += 1
    assert not plane.holds(moved)


def test_leading_channels_are_no_annotation_axis() -> None:
    image = stack(3, 30, 40)
    layout = StackLayout(image.shape, channel_axis=0)
    assert layout.annotation_shape == (30, 40)
    plane = layout.plane((1, 2), (2, 0, 0))
    assert plane == Plane((0, 1), (0, 0), (30, 40))
    (cut,), channels = layout.cut([image], plane)
    assert (cut.shape, channels) == ((3, 30, 40), 0)


def test_channels_in_the_middle_stay_as_one_slice() -> None:
    image = stack(5, 3, 30, 40)
    layout = StackLayout(image.shape, channel_axis=1)
    assert layout.annotation_shape == (5, 1, 30, 40)
    plane = layout.plane((2, 3), (4, 2, 0, 0))
    assert plane.index == (4, 0, 0, 0)
    (cut,), channels = layout.cut([image], plane)
    np.testing.assert_array_equal(cut, image[4])
    assert channels == 0


def test_channels_last() -> None:
    image = stack(30, 40, 3)
    layout = StackLayout(image.shape, channel_axis=2)
    plane = layout.plane((0, 1), (0, 0, 1))
    (cut,), channels = layout.cut([image], plane)
    assert cut.shape == image.shape
    assert channels == 2
    with pytest.raises(ImageError, match="channel axis is on screen"):
        layout.plane((1, 2), (0, 0, 0))


def test_colours() -> None:
    image = stack(5, 30, 40, 3)
    layout = StackLayout(image.shape[:-1], rgb=True)
    plane = layout.plane((1, 2), (3, 0, 0))
    (cut,), channels = layout.cut([image], plane)
    np.testing.assert_array_equal(cut, image[3])
    assert channels is None


def test_levels_may_be_coarser_along_the_stack() -> None:
    fine, coarse = stack(8, 40, 40), stack(4, 20, 20)
    layout = StackLayout(fine.shape)
    cuts, _ = layout.cut([fine, coarse], layout.plane((1, 2), (7, 0, 0)))
    np.testing.assert_array_equal(cuts[1], coarse[3])


def test_other_arrays_are_not_read_before_they_are_asked() -> None:
    array = Recorder(stack(4, 30, 40))
    layout = StackLayout(array.shape)
    (cut,), _ = layout.cut([array], layout.plane((1, 2), (2, 0, 0)))
    assert isinstance(cut, LazyPlane)
    assert (cut.shape, cut.ndim, cut.dtype) == ((30, 40), 2, array.dtype)
    assert array.asked == []
    np.testing.assert_array_equal(cut[3:5, 7:9], array.array[2, 3:5, 7:9])
    assert array.asked == [(2, slice(3, 5), slice(7, 9))]
    np.testing.assert_array_equal(cut[..., 4], array.array[2, :, 4])
    np.testing.assert_array_equal(cut[1], array.array[2, 1])
    np.testing.assert_array_equal(np.asarray(cut), array.array[2])


@pytest.mark.parametrize(
    ("shape", "channel_axis", "rgb"),
    [((5,), None, False), ((5, 6), 0, False), ((5, 0), None, False), ((3, 5, 6), 0, True)],
)
def test_impossible_images(shape: tuple[int, ...], channel_axis: int | None, rgb: bool) -> None:
    with pytest.raises(ImageError):
        StackLayout(shape, channel_axis, rgb)


def test_three_dimensional_view() -> None:
    with pytest.raises(ImageError, match="2-D view"):
        StackLayout((4, 5, 6)).plane((0, 1, 2), (0, 0, 0))


def test_clicks_are_read_and_kept_inside() -> None:
    plane = Plane((1, 2), (3, 0, 0), (30, 40))
    clicks = read_clicks(plane, np.array([[3.2, -0.5, 39.4]]), [False])
    assert [(c.row, c.column, c.positive) for c in clicks] == [(0.0, 39.0, False)]
    with pytest.raises(PromptError, match="outside the image"):
        read_clicks(plane, np.array([[3, 30, 4]]), [True])
    with pytest.raises(PromptError, match="slice 3"):
        read_clicks(plane, np.array([[2, 3, 4]]), [True])
