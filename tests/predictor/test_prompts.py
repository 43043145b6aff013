"""SegNext's mapping of prompts onto clicks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from napari_inter2former.errors import PromptError
from napari_inter2former.prompts import (
    Click,
    as_prompts,
    box,
    flatten,
    in_box,
    polygon,
    scribble,
)


def test_scribble_is_dense_ordered_and_keeps_its_vertices():
    clicks = scribble([(0, 0), (0, 10), (3, 14)], spacing=4)
    assert clicks[0] == Click(0, 0)
    assert clicks[-1] == Click(3, 14)
    assert Click(0, 10) in clicks
    steps = [math.hypot(b.row - a.row, b.column - a.column) for a, b in itertools.pairwise(clicks)]
    assert max(steps) <= 4
    assert all(not click.positive for click in scribble([(0, 0), (1, 1)], positive=False))


def test_scribble_of_one_point_or_a_resting_pen_is_one_click():
    assert scribble([(2, 3)]) == (Click(2, 3),)
    assert scribble(np.array([(2, 3), (2, 3)])) == (Click(2, 3),)


def test_box_is_four_negative_corners_in_any_order():
    corners = box(1, 2, 5, 9)
    assert corners == box(5, 9, 1, 2)
    assert {(c.row, c.column) for c in corners} == {(1, 2), (1, 9), (5, 9), (5, 2)}
    assert not any(c.positive for c in corners)


def test_polygon_drops_the_repeated_closing_vertex():
    assert len(polygon([(0, 0), (0, 5), (5, 5), (0, 0)])) == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: scribble([]),
        lambda: scribble([(0, float("nan"))]),
        lambda: scribble([(0, 0)], spacing=0),
        lambda: scribble(["ab"]),
        lambda: box(0, 0, float("inf"), 1),
        lambda: polygon([(1, 2, 3)]),
        lambda: as_prompts([]),
        lambda: as_prompts([()]),
        lambda: as_prompts([(3, 4)]),
        lambda: as_prompts([3]),
        lambda: as_prompts([Click(float("nan"), 0)]),
        lambda: as_prompts([Click("x", 0)]),
    ],
)
def test_bad_prompts_are_refused(make):
    with pytest.raises(PromptError):
        make()


def test_as_prompts_takes_a_click_lists_and_numpy_numbers():
    assert as_prompts(Click(1, 2)) == (Click(1.0, 2.0),)
    prompts = as_prompts([[Click(np.int64(1), np.float32(2), np.bool_(False))], Click(3, 4)])
    assert prompts == ((Click(1.0, 2.0, False),), Click(3.0, 4.0))
    assert flatten(prompts) == (Click(1.0, 2.0, False), Click(3.0, 4.0))
    hash(prompts)


def test_negative_clicks_that_come_first_are_one_prompt():
    a, b, c = Click(1, 2, False), Click(1, 9, False), Click(5, 9, False)
    inside = Click(3, 5)
    assert as_prompts([a, b, c, inside, a]) == ((a, b, c), inside, a)
    assert as_prompts([a, b]) == ((a, b),)
    assert as_prompts([a, inside]) == (a, inside)
    assert as_prompts([(a, b), c, inside]) == ((a, b), c, inside)


def test_a_box_comes_before_the_clicks_and_alone_has_one_in_its_middle():
    corners = box(1, 2, 5, 9)
    assert in_box((), corners) == (*corners, Click(3, 5.5))
    inside, beside = Click(2, 4), Click(2, 8, False)
    assert in_box((inside, beside), corners) == (*corners, inside, beside)
    assert in_box((*box(0, 0, 7, 7), inside, beside), corners) == (*corners, inside, beside)
