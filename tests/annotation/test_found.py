"""Many objects at once: labels are never overwritten, and taken out whole."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_inter2former.annotation import found
from napari_inter2former.annotation.found import FoundMask, FoundObjects, plan_found

SHAPE = (40, 50)
ORDER = FoundObjects(
    (
        FoundMask.of(np.ones((5, 6), np.bool_), (10, 20, 15, 26)),
        FoundMask.of(np.eye(9, 11, dtype=np.bool_), (12, 22, 21, 33)),
    ),
    7,
)


def write(labels: Any, order: FoundObjects, forward: bool = True) -> int:
    """Write as the widget does; the number of parts."""

    def read(box: Any) -> Any:
        return labels[box[0] : box[2], box[1] : box[3]].copy()

    parts = 0
    for rows, columns, values in plan_found(read, order, forward):
        assert values.dtype == labels.dtype
        labels[rows, columns] = values
        parts += 1
    return parts


boxes = st.tuples(
    st.integers(0, 29), st.integers(0, 29), st.integers(1, 11), st.integers(1, 21)
).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(
    boxes=st.lists(boxes, max_size=6),
    seed=st.integers(0, 99),
    at_once=st.sampled_from([1, 40, 9999]),
)
def test_as_if_painted_one_by_one(boxes: Any, seed: int, at_once: int) -> None:
    rng = np.random.default_rng(seed)
    masks = [rng.random((r1 - r0, c1 - c0)) < 0.7 for r0, c0, r1, c1 in boxes]
    labels = np.where(rng.random(SHAPE) < rng.choice([0.1, 0.5]), 3, 0).astype(np.uint16)
    before, expected = labels.copy(), labels.copy()
    for number, (mask, box) in enumerate(zip(masks, boxes, strict=True), start=7):
        inside = slice(box[0], box[2]), slice(box[1], box[3])
        part = expected[inside]
        if 2 * np.count_nonzero(mask & (before[inside] == 0)) > np.count_nonzero(mask):
            part[mask & (part == 0)] = number
    order = FoundObjects(tuple(FoundMask.of(m, b) for m, b in zip(masks, boxes, strict=True)), 7)
    usual, found.PIXELS_AT_ONCE = found.PIXELS_AT_ONCE, at_once
    try:
        write(labels, order)
        np.testing.assert_array_equal(labels, expected)
        write(labels, order, forward=False)
        np.testing.assert_array_equal(labels, before)
    finally:
        found.PIXELS_AT_ONCE = usual


def test_what_was_painted_since_stays() -> None:
    labels = np.zeros(SHAPE, np.int32)
    write(labels, ORDER)
    labels[10, 20:26] = 99
    write(labels, ORDER, forward=False)
    assert (labels[10, 20:26] == 99).all()
    assert np.count_nonzero(labels) == 6
    write(labels, ORDER)
    assert (labels[10, 20:26] == 99).all()
    assert (labels[11:15, 20:26] == 7).all()


def test_many_pixels_come_in_parts() -> None:
    labels = np.zeros((1000, 900), np.int32)
    order = FoundObjects((FoundMask.of(np.ones((1000, 900), np.bool_), (0, 0, 1000, 900)),), 1)
    assert write(labels, order) > 10
    assert (labels == 1).all()
    assert order.masks[0].bits.nbytes < labels.size / 7


@given(boxes=st.tuples(boxes, boxes), seed=st.integers(0, 99))
def test_a_mask_less_another(boxes: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    full = np.zeros((2, *SHAPE), np.bool_)
    masks = []
    for plane, (r0, c0, r1, c1) in zip(full, boxes, strict=True):
        masks.append(rng.random((r1 - r0, c1 - c0)) < 0.5)
        plane[r0:r1, c0:c1] = masks[-1]
    rest = FoundMask.of(masks[0], boxes[0]).without(masks[1], boxes[1])
    labels = np.zeros(SHAPE, np.int32)
    write(labels, FoundObjects((rest,), 1))
    np.testing.assert_array_equal(labels > 0, full[0] & ~full[1])
