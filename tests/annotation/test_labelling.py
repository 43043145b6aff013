"""Which pixels an accepted mask may change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_inter2former.annotation import Ids, OutOfIdsError, Rule, plan_edit, plan_write
from napari_inter2former.annotation.labelling import piece_at

SHAPE = (5, 7)
BOX = (10, 20, 15, 27)
labels_arrays = hnp.arrays(np.int32, SHAPE, elements=st.integers(0, 3))
masks = hnp.arrays(np.bool_, SHAPE)


@given(labels_arrays, masks)
def test_other_objects_are_never_changed(view: np.ndarray, mask: np.ndarray) -> None:
    edit = plan_edit(view, mask, BOX, 2)
    assert not (edit.where & (view != 0) & (view != 2)).any()
    assert not (edit.where & ~mask).any()
    assert edit.area + edit.left_alone == mask.sum()


@given(labels_arrays, masks, st.sampled_from(Rule))
def test_writing_and_going_back_restores_everything(
    view: np.ndarray, mask: np.ndarray, rule: Rule
) -> None:
    image = np.zeros((30, 40), np.int32)
    image[10:15, 20:27] = view
    edit = plan_edit(view, mask, BOX, 9, rule)
    part = image[10:15, 20:27]
    due, values = plan_write(part, edit)
    part[due] = values
    assert ((image == 9).sum()) == edit.area
    due, values = plan_write(part, edit, forward=False)
    part[due] = values
    np.testing.assert_array_equal(image[10:15, 20:27], view)
    assert image.sum() == view.sum()


def test_going_back_leaves_what_was_painted_since() -> None:
    view = np.zeros(SHAPE, np.int32)
    edit = plan_edit(view, np.ones(SHAPE, bool), BOX, 1)
    view[:] = 1
    view[2, 3] = 8
    due, values = plan_write(view, edit, forward=False)
    assert np.argwhere(~due).tolist() == [[2, 3]]
    assert np.unique(values).tolist() == [0]


@given(labels_arrays, masks, hnp.arrays(np.int32, SHAPE, elements=st.integers(0, 9)))
def test_what_was_painted_since_stays(
    view: np.ndarray, mask: np.ndarray, painted: np.ndarray
) -> None:
    edit = plan_edit(view, mask, BOX, 9, Rule.REPLACE_OTHERS)
    for forward, due_now in ((True, painted == view), (False, painted == 9)):
        now = painted.copy()
        due, values = plan_write(now, edit, forward)
        now[due] = values
        expected = np.where(mask & due_now, 9 if forward else view, painted)
        np.testing.assert_array_equal(now, expected)


def test_an_edit_holds_little_besides_its_mask() -> None:
    view, mask = np.zeros((500, 400), np.int32), np.ones((500, 400), bool)
    edit = plan_edit(view, mask, (0, 0, 500, 400), 7)
    assert edit.area == 200_000
    assert edit.where.nbytes + edit.before.nbytes <= mask.nbytes + 8
    # Nor does it hold the labels.
    assert edit.before.base is None


def test_replacing_takes_the_whole_mask() -> None:
    view = np.full(SHAPE, 3, np.int32)
    edit = plan_edit(view, np.ones(SHAPE, bool), BOX, 1, Rule.REPLACE_OTHERS)
    assert (edit.area, edit.left_alone) == (35, 0)


@pytest.mark.parametrize(("value", "shape"), [(0, SHAPE), (-1, SHAPE), (1, (5, 6))])
def test_nonsense_is_refused(value: int, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"above 0|match"):
        plan_edit(np.zeros(shape, np.int32), np.ones(SHAPE, bool), BOX, value)


def test_numbers_go_up_each_once() -> None:
    ids = Ids(np.int32, used=4)
    assert [ids.take(), ids.take()] == [5, 6]
    ids.reserve(10)
    ids.reserve(2)
    assert ids.check() == ids.take() == 11


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int64, np.uint64])
def test_numbers_end_with_the_type(dtype: type) -> None:
    limit = np.iinfo(dtype).max
    ids = Ids(dtype, used=int(limit) - 1)
    assert ids.take() == limit
    with pytest.raises(OutOfIdsError, match=rf"{np.dtype(dtype)} ends at {limit}.*Convert"):
        ids.take()


def test_labels_are_integers() -> None:
    with pytest.raises(TypeError, match="integer"):
        Ids(np.float32)


@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 5), (0, 9)), ((60, 150), (3, 190)), ((0, 200), (70, 71))]
)
def test_the_piece_of_an_object_at_a_pixel(rows: tuple[int, int], columns: tuple[int, int]) -> None:
    labels = np.zeros((200, 220), np.uint16)
    labels[slice(*rows), slice(*columns)] = 7
    labels[190:, 210:] = 7  # another piece of it
    labels[slice(*rows), columns[1] : columns[1] + 2] = 3  # another object beside it
    box, data = piece_at(
        lambda b: labels[b[0] : b[2], b[1] : b[3]], labels.shape, rows[0] + 1, columns[0]
    )
    assert box == (rows[0], columns[0], rows[1], columns[1])
    assert data.shape == (rows[1] - rows[0], columns[1] - columns[0])
    assert (data == 7).all()
