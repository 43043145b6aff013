"""Connected parts of masks: compiled against OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_inter2former import kernels
from napari_inter2former.kernels.parts import PlainParts, count_areas, find_parts

pytestmark = pytest.mark.skipif(
    not kernels.native_available(), reason="the extension is not available"
)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(0, 90),
    width=st.integers(0, 70),
    share=st.sampled_from((0.0, 0.1, 0.4, 0.6, 0.95, 1.0)),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_same_parts(height: int, width: int, share: float, threads: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Rows of a larger array, as in a window's box.
    logits = (3 * (share - rng.random((height, width + 5)))).astype(np.float32)[:, 2 : 2 + width]
    fast, plain = find_parts(logits, threads), PlainParts(logits)
    assert not logits.size or not isinstance(fast, PlainParts)
    found, expected = fast.table(), plain.table()
    assert found.shape == expected.shape
    # Both number the parts as they like.
    order = [plain.at(*first_pixel(fast, logits, part)) for part in range(len(found))]
    assert sorted(order) == list(range(len(found)))
    np.testing.assert_array_equal(found, expected[order])
    labels = rng.integers(0, 5, (height, width), dtype=np.uint8)
    labels[rng.random((height, width)) < 0.95] = 0
    touched = fast.touched(labels, 3)
    np.testing.assert_array_equal(touched, plain.touched(labels, 3)[order])
    box = (height // 3, width // 4, height // 3 * 2 + 1, width // 2)
    expected_touched = np.zeros(len(found), bool)
    expected_touched[order] = touched
    assert fast.count(touched, *box) == plain.count(expected_touched, *box)
    one, other = logits.copy(), logits.copy()
    fast.erase(one, touched, -100)
    plain.erase(other, expected_touched, -100)
    np.testing.assert_array_equal(one, other)
    assert count_areas(logits, threads) == ((logits > -1).sum(), (logits > 1).sum())


def first_pixel(parts: object, logits: np.ndarray, part: int) -> tuple[int, int]:
    top, left, _, right, _ = parts.table()[part]  # type: ignore[attr-defined]
    for column in range(left, right):
        if parts.at(int(top), int(column)) == part:  # type: ignore[attr-defined]
            return int(top), int(column)
    raise AssertionError("a part has no pixel in its first row")


def test_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTER2FORMER_NO_NATIVE", "1")
    logits = np.array([[1, -2, 0.5], [-2, 3, -0.5]], np.float32)
    assert isinstance(find_parts(logits), PlainParts)
    assert count_areas(logits) == (4, 1)


def test_bad_input_is_refused() -> None:
    parts = find_parts(np.ones((4, 5), np.float32))
    with pytest.raises(ValueError, match="labels must be a contiguous array"):
        parts.touched(np.ones((5, 4), np.uint8), 1)
    with pytest.raises(ValueError, match="chosen must have shape"):
        parts.count(np.ones(3, bool), 0, 0, 4, 5)
    assert parts.at(-1, 0) == parts.at(0, 9) == -1
