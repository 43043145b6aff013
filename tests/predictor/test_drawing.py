"""Which parts of a mask stay."""

from __future__ import annotations

import numpy as np

from napari_inter2former.predictor._drawing import Drawing, keep_parts, measure, to_mask
from napari_inter2former.predictor._windows import Window


def two_parts() -> np.ndarray:
    logits = np.full((20, 30), -3, np.float32)
    logits[2:8, 2:8] = 2
    logits[8:12, 8] = 2  # touches the first part with a corner only
    logits[5:15, 18:28] = 4
    return logits


def keep(logits: np.ndarray, known: np.ndarray) -> Drawing:
    return keep_parts(Drawing(logits, (0, 0, *logits.shape)), known)


def test_parts_that_nothing_speaks_for_go() -> None:
    logits, known = two_parts(), np.zeros((20, 30), bool)
    known[4, 4] = True
    left = keep(logits, known)
    assert (logits[2:8, 2:8] == 2).all()
    assert (logits[8:12, 8] == 2).all()
    assert (logits[5:15, 18:28] < 0).all()
    assert (logits[:2] == -3).all()
    window = Window(exponent=0, row=0, column=0, height=20, width=30)
    assert measure(left, window, (20, 30), []).rect == (2, 2, 12, 9)
    assert to_mask(left, window, (20, 30), (0, 0)).area == 40


def test_the_score_is_the_predicted_iou_or_else_the_stability() -> None:
    logits = np.array([[2, 2, 0.5, -0.5, -2]], np.float32)
    window = Window(exponent=0, row=0, column=0, height=1, width=5)
    for iou, score in ((None, 0.5), (0.9, 0.9)):
        drawing = Drawing(logits, (0, 0, 1, 5), iou)
        assert to_mask(drawing, window, (1, 5), (0, 0)).score == score
        assert drawing.stability == 0.5


def test_every_part_with_a_click_stays() -> None:
    logits, known = two_parts(), np.zeros((20, 30), bool)
    known[4, 4] = known[10, 20] = True
    keep(logits, known)
    np.testing.assert_array_equal(logits, two_parts())


def test_all_parts_stay_where_nothing_is_known() -> None:
    logits = two_parts()
    keep(logits, np.zeros((20, 30), bool))
    np.testing.assert_array_equal(logits, two_parts())
    known = np.zeros((20, 30), bool)
    known[18, 1] = True  # a click outside the mask
    keep(logits, known)
    np.testing.assert_array_equal(logits, two_parts())


def test_empty_drawings_stay_empty() -> None:
    logits = np.zeros((0, 0), np.float32)
    keep(logits, np.zeros((0, 0), bool))
    assert logits.size == 0
