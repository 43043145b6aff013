from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import distance_transform_edt

from napari_inter2former.evaluation import first_click, next_click, region_of
from napari_inter2former.evaluation.clicks import deepest_point
from napari_inter2former.evaluation.regions import EMPTY
from napari_inter2former.prompts import Click

SHAPE = (40, 50)


def disc(row, column, radius, shape=SHAPE):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def test_the_first_click_is_at_the_centre():
    assert first_click(region_of(disc(20, 30, 6))) == Click(20, 30, True)


def test_a_missed_part_is_clicked_positively():
    truth = disc(20, 12, 8) | disc(20, 36, 6)
    click = next_click(region_of(truth), region_of(disc(20, 12, 8)))
    assert click == Click(20, 36, True)


def test_an_added_part_is_clicked_negatively():
    truth = disc(20, 12, 8)
    click = next_click(region_of(truth), region_of(truth | disc(20, 36, 6)))
    assert click == Click(20, 36, False)


def test_the_deeper_error_wins():
    truth, prediction = disc(20, 12, 5), disc(20, 36, 9)
    assert next_click(region_of(truth), region_of(prediction)) == Click(20, 36, False)
    assert next_click(region_of(prediction), region_of(truth)) == Click(20, 36, True)


def test_equal_depths_give_a_negative_click():
    truth, prediction = disc(20, 12, 5), disc(20, 36, 5)
    assert next_click(region_of(truth), region_of(prediction)) == Click(20, 36, False)


def test_the_largest_error_is_the_deepest_not_the_one_with_most_pixels():
    long = np.zeros(SHAPE, bool)
    long[2:5, :] = True
    click = next_click(region_of(long | disc(25, 25, 6)), EMPTY)
    assert click == Click(25, 25, True)


def test_the_border_of_the_image_is_outside():
    truth = np.zeros(SHAPE, bool)
    truth[:9, :9] = True
    assert first_click(region_of(truth)) == Click(4, 4, True)


def test_no_error_no_click():
    truth = region_of(disc(20, 30, 6))
    assert next_click(truth, truth) is None
    assert next_click(EMPTY, EMPTY) is None


def test_no_pixel_is_clicked_twice():
    truth = region_of(disc(20, 30, 3))
    clicks = []
    for _ in range(int(truth.data.sum())):
        clicks.append(next_click(truth, EMPTY, clicks))
    assert len(set(clicks)) == len(clicks)
    assert next_click(truth, EMPTY, clicks) is None


def test_ties_go_to_the_first_pixel_in_rows():
    depth, point = deepest_point(np.ones((3, 7), bool))
    assert (depth, point) == (2.0, (1, 1))


@given(
    hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24)),
    st.lists(st.tuples(st.integers(-3, 27), st.integers(-3, 27)), max_size=4),
)
def test_deepest_point_against_the_whole_padded_image(mask, used):
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    for row, column in used:
        if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]:
            depth[row, column] = 0
    found, point = deepest_point(mask, used)
    assert found == pytest.approx(depth.max())
    if found:
        assert depth[point] == pytest.approx(depth.max())


@given(
    hnp.arrays(bool, (12, 14)),
    hnp.arrays(bool, (12, 14)),
)
def test_the_click_lies_in_an_error(truth, prediction):
    click = next_click(region_of(truth), region_of(prediction))
    if click is None:
        assert (truth == prediction).all()
    else:
        at = int(click.row), int(click.column)
        assert truth[at] == click.positive
        assert prediction[at] != click.positive


def test_large_images_cost_nothing():
    near, far = disc(20, 30, 6), disc(20, 30, 5)
    truth, prediction = region_of(near), region_of(far)
    offset = 5_000_000

    def move(region):
        return region._replace(box=tuple(value + offset for value in region.box))

    here = next_click(truth, prediction)
    there = next_click(move(truth), move(prediction))
    assert (there.row - offset, there.column - offset) == (here.row, here.column)
