"""Window geometry, over all sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_inter2former.predictor import _windows as geometry

SIZES = st.integers(1, 200_000)
SIDES = st.sampled_from([32, 64, 128, 256, 512, 1024])
SHARES = st.floats(0, 1)


@given(SIZES, SIZES, SIDES, SHARES, SHARES, st.integers(-20, 3))
def test_a_placed_window_lies_in_the_image_and_holds_its_centre(h, w, side, y, x, exponent):
    exponent = max(exponent, geometry.lowest_exponent((h, w), side))
    row, column = min(int(y * h), h - 1), min(int(x * w), w - 1)
    window = geometry.place((row, column, row + 1, column + 1), (h, w), exponent, side)
    height, width = geometry.zoomed_shape((h, w), exponent)
    assert (window.height, window.width) == (min(side, height), min(side, width))
    assert 0 <= window.row <= height - window.height
    assert 0 <= window.column <= width - window.width
    if exponent > 0:
        zoom = 2**exponent
        assert window.row % zoom == window.column % zoom == 0
        assert window.height % zoom == window.width % zoom == 0
    r, c = window.to_input(row, column)
    assert 0 <= r < window.height
    assert 0 <= c < window.width


@given(SIZES, SIZES, SIDES, SHARES, SHARES, SHARES, SHARES, st.integers(-3, 3))
def test_any_rectangle_fits_with_a_margin(h, w, side, y0, x0, y1, x1, start):
    r0, r1 = sorted((min(int(y0 * h), h - 1), min(int(y1 * h), h - 1)))
    c0, c1 = sorted((min(int(x0 * w), w - 1), min(int(x1 * w), w - 1)))
    rect = (r0, c0, r1 + 1, c1 + 1)
    exponent = geometry.fit_exponent(rect, (h, w), side, start)
    window = geometry.place(rect, (h, w), exponent, side)
    assert exponent <= start
    assert geometry.contains(window, rect, (h, w), side)


@given(SIZES, SIZES, SIDES)
def test_the_first_zoom(h, w, side):
    exponent = geometry.start_exponent((h, w), side)
    assert 0 <= exponent <= 2
    if exponent:
        assert max(geometry.zoomed_shape((h, w), exponent)) <= side
    lowest = geometry.lowest_exponent((h, w), side)
    assert max(geometry.zoomed_shape((h, w), lowest)) <= side


@given(st.floats(0.1, 2000), SIDES, st.integers(-10, 3))
def test_a_zoom_once_chosen_is_kept(size, side, exponent):
    """The new size neither asks for the way back nor is left small or large without need."""
    new = geometry.choose_exponent(exponent, side, size, touches=False)
    seen = size * 2.0 ** (new - exponent)
    again = geometry.choose_exponent(new, side, seen, touches=False)
    assert (again - new) * (new - exponent) >= 0


@given(st.floats(0.5, 50_000), SIDES, st.integers(0, 2))
def test_zoom_for_a_known_size_is_stable(size, side, start):
    shape = (100_000, 100_000)
    exponent = geometry.exponent_for_size(size, shape, side, start)
    seen = size * 2.0**exponent
    kept = geometry.choose_exponent(exponent, side, seen, touches=False)
    at_limit = exponent in (geometry.HIGHEST_EXPONENT, geometry.lowest_exponent(shape, side))
    assert kept == exponent or at_limit


def test_neighbouring_clicks_share_a_window():
    shape, side = (10_000, 10_000), 512
    windows = {
        geometry.place((r, c, r + 1, c + 1), shape, 0, side)
        for r in range(4990, 5030, 5)
        for c in range(4990, 5030, 5)
    }
    assert len(windows) == 1


def test_zoomed_shape_rounds_up():
    assert geometry.zoomed_shape((5, 9), -2) == (2, 3)
    assert geometry.zoomed_shape((5, 9), 2) == (20, 36)


@pytest.mark.parametrize(
    ("exponent", "row", "expected"),
    [
        # All of an enlarged pixel is its middle, which decides about it.
        *((2, -0.5, 2), (2, 0.49, 2), (2, 0.5, 6)),
        *((0, -0.5, 0), (0, 0.49, 0), (0, 0.5, 1)),
        *((-1, 1.4, 0), (-1, 1.5, 1)),
    ],
)
def test_whole_coordinates_are_pixel_centres(exponent, row, expected):
    window = geometry.Window(exponent, 0, 0, 40, 40)
    assert window.to_input(row, 0)[0] == expected
