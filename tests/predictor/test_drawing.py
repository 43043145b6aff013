"""Which parts of a mask stay."""

from __future__ import annotations

import numpy as np

from napari_inter2former.predictor._drawing import keep_parts


def two_parts() -> np.ndarray:
    logits = np.full((20, 30), -3, np.float32)
    logits[2:8, 2:8] = 2
    logits[8:12, 8] = 2  # touches the first part with a corner only
    logits[5:15, 18:28] = 4
    return logits


def test_parts_that_nothing_speaks_for_go() -> None:
    logits, known = two_parts(), np.zeros((20, 30), bool)
    known[4, 4] = True
    keep_parts(logits, known)
    assert (logits[2:8, 2:8] == 2).all()
    assert (logits[8:12, 8] == 2).all()
    assert (logits[5:15, 18:28] < 0).all()
    assert (logits[:2] == -3).all()


def test_every_part_with_a_click_stays() -> None:
    logits, known = two_parts(), np.zeros((20, 30), bool)
    known[4, 4] = known[10, 20] = True
    keep_parts(logits, known)
    np.testing.assert_array_equal(logits, two_parts())


def test_all_parts_stay_where_nothing_is_known() -> None:
    logits = two_parts()
    keep_parts(logits, np.zeros((20, 30), bool))
    np.testing.assert_array_equal(logits, two_parts())
    known = np.zeros((20, 30), bool)
    known[18, 1] = True  # a click outside the mask
    keep_parts(logits, known)
    np.testing.assert_array_equal(logits, two_parts())


def test_empty_drawings_stay_empty() -> None:
    logits = np.zeros((0, 0), np.float32)
    keep_parts(logits, np.zeros((0, 0), bool))
    assert logits.size == 0
