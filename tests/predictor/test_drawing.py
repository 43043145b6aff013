"""Which parts of a mask stay."""

from __future__ import annotations

import numpy as np

from napari_inter2former.predictor._drawing import Drawing, honour, keep_parts, measure, to_mask
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


def test_what_users_said_of_pixels_holds_whatever_the_network_answers() -> None:
    logits = np.full((20, 20), -3, np.float32)
    logits[5:15, 5:15] = 3
    reference = np.where(logits > 0, 3, 1).astype(np.uint8)
    reference[4:9, 4:9] = 0  # a negative click at the corner: all that it speaks for
    reference[6:9, 12:15] = 4  # a small disc at the right edge
    reference[6:9, 15] = 1
    said = [(6, 6, False), (7, 14, True)]
    found = honour(Drawing(logits, (0, 0, 20, 20), 0.7), reference, said, (0, 4))
    assert found.box == (0, 0, 20, 20)
    assert found.iou == 0.7
    rows, columns = np.mgrid[:20, :20]
    near = (rows - 6) ** 2 + (columns - 6) ** 2 <= 4
    expected = (rows >= 5) & (rows < 15) & (columns >= 5) & (columns < 15) & ~near
    np.testing.assert_array_equal(found.logits > 0, expected)


def test_a_positive_click_beyond_the_decoded_box_is_drawn_too() -> None:
    logits = np.full((4, 4), 2, np.float32)
    reference = np.ones((30, 30), np.uint8)
    reference[0:3, 25:30] = 4
    reference[20:, 20:] = 0
    said = [(0, 29, True), (25, 25, False)]
    found = honour(Drawing(logits, (10, 10, 14, 14)), reference, said, (0, 4))
    assert found.box == (0, 10, 14, 30)
    whole = np.zeros((30, 30), bool)
    whole[:14, 10:] = found.logits > 0
    assert whole[10:14, 10:14].all()
    assert whole[0, 27:].all()
    assert whole[2, 29]
    assert whole.sum() == 16 + 3 + 2 + 1


def test_nothing_is_drawn_where_the_network_finds_nothing() -> None:
    reference = np.full((8, 8), 4, np.uint8)
    for logits in (np.full((8, 8), -1, np.float32), np.zeros((0, 0), np.float32)):
        found = honour(Drawing(logits, (0, 0, *logits.shape)), reference, [(4, 4, True)], (0, 4))
        assert not (found.logits > 0).any()


def test_empty_drawings_stay_empty() -> None:
    logits = np.zeros((0, 0), np.float32)
    keep(logits, np.zeros((0, 0), bool))
    assert logits.size == 0
