from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_inter2former.evaluation import (
    boundary_iou,
    boundary_width,
    iou,
    number_of_clicks,
    object_regions,
    region_of,
)
from napari_inter2former.evaluation.regions import EMPTY

MASKS = hnp.arrays(bool, (11, 13))


def band_by_brute_force(mask, width):
    high, wide = mask.shape
    band = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        for r in range(row - width, row + width + 1):
            for c in range(column - width, column + width + 1):
                inside = 0 <= r < high and 0 <= c < wide
                if not inside or not mask[r, c]:
                    band[row, column] = True
    return band


def overlap(first, second):
    union = (first | second).sum()
    return (first & second).sum() / union if union else 1.0


@given(MASKS, MASKS)
def test_iou_against_brute_force(first, second):
    assert iou(region_of(first), region_of(second)) == pytest.approx(overlap(first, second))


@given(MASKS, MASKS, st.integers(1, 4))
def test_boundary_iou_against_brute_force(first, second, width):
    expected = overlap(band_by_brute_force(first, width), band_by_brute_force(second, width))
    assert boundary_iou(region_of(first), region_of(second), width) == pytest.approx(expected)


def test_empty_masks():
    one = region_of(np.ones((3, 3), bool))
    assert iou(EMPTY, EMPTY) == boundary_iou(EMPTY, EMPTY, 2) == 1.0
    assert iou(one, EMPTY) == boundary_iou(EMPTY, one, 2) == 0.0


def test_a_wide_band_is_the_whole_object():
    first, second = np.zeros((2, 30, 30), bool)
    first[5:15, 5:15] = second[7:17, 5:15] = True
    first, second = region_of(first), region_of(second)
    assert boundary_iou(first, second, 10_000) == iou(first, second)
    assert boundary_iou(first, second, 1) < iou(first, second)


def test_the_width_is_two_percent_of_the_diagonal():
    assert boundary_width((300, 400)) == 10
    assert boundary_width((1, 1)) == 1


def test_number_of_clicks():
    curve = [0.5, 0.81, 0.79, 0.9]
    assert number_of_clicks(curve, 0.8) == 2
    assert number_of_clicks(curve, 0.9) == 4
    assert number_of_clicks(curve, 0.95) == 20
    assert number_of_clicks(curve, 0.9, limit=3) == 3
    assert number_of_clicks([], 0.9) == 20


@given(hnp.arrays(np.uint16, (9, 12), elements=st.sampled_from([0, 0, 1, 2, 700, 65535])))
def test_object_regions_against_brute_force(labels):
    found = object_regions(labels, min_area=3)
    expected = [n for n in np.unique(labels) if n and (labels == n).sum() >= 3]
    assert list(found) == expected
    for number, region in found.items():
        whole = region_of(labels == number)
        assert region.box == whole.box
        assert (region.data == whole.data).all()


def test_object_regions_of_nothing():
    assert object_regions(np.zeros((4, 5), np.uint8)) == {}
