"""Visual prompts, all expressed as clicks.

The mapping is the one of SegNext (Liu et al., "Rethinking Interactive Image Segmentation with
Low Latency, High Quality, and Diverse Prompts", section 3.1): a scribble is a set of clicks, a box
is four negative clicks at its corners, a polygon is negative clicks at its vertices. A mask is not
a click; it is given to the predictor as ``previous``.

Coordinates are (row, column) in image pixels; whole numbers are pixel centres, so pixel ``i``
reaches from ``i - 0.5`` to ``i + 0.5``.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_inter2former.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Click",
    "Prompt",
    "as_prompts",
    "box",
    "flatten",
    "in_box",
    "polygon",
    "scribble",
]


@dataclass(frozen=True, slots=True)
class Click:
    """One click.

    Parameters
    ----------
    row, column : float
        Position in image pixels; whole numbers are pixel centres.
    positive : bool
        True if the object is there, False if background is.
    """

    row: float
    column: float
    positive: bool = True


Prompt: TypeAlias = Click | tuple[Click, ...]
"""A click, or several clicks that are applied in one step (a scribble, a box, a polygon)."""


def scribble(
    path: npt.ArrayLike | Sequence[Sequence[float]], positive: bool = True, spacing: float = 4.0
) -> tuple[Click, ...]:
    """Turn a drawn line into a set of clicks.

    Parameters
    ----------
    path : array-like, (n, 2)
        Vertices of the line, (row, column) in image pixels, n >= 1.
    positive : bool
        True for a line on the object, False for one on background.
    spacing : float
        Largest distance between neighbouring clicks, in image pixels.

    Returns
    -------
    tuple of Click
        The vertices and as many points between them as `spacing` asks for, in drawing order.

    Raises
    ------
    PromptError
        If `path` is empty, not finite or not of shape (n, 2), or `spacing` is not above 0.
    """
    points = _vertices(path, "scribble", least=1)
    if not spacing > 0:
        raise PromptError(f"The spacing of a scribble must be above 0 pixels, not {spacing}.")
    clicks = [Click(float(points[0, 0]), float(points[0, 1]), positive)]
    for start, stop in itertools.pairwise(points):
        length = float(np.hypot(*(stop - start)))
        pieces = max(1, math.ceil(length / spacing))
        for i in range(1, pieces + 1):
            row, column = start + (stop - start) * (i / pieces)
            click = Click(float(row), float(column), positive)
            if click != clicks[-1]:
                clicks.append(click)
    return tuple(clicks)


def box(r0: float, c0: float, r1: float, c1: float) -> tuple[Click, ...]:
    """Turn a box around an object into four negative clicks at its corners.

    Parameters
    ----------
    r0, c0, r1, c1 : float
        Two opposite corners, in image pixels. The corners must lie outside the object.

    Returns
    -------
    tuple of Click
        Four negative clicks, clockwise from the top left.

    Raises
    ------
    PromptError
        If a coordinate is not finite.
    """
    corners = _vertices([(r0, c0), (r1, c1)], "box", least=2)
    top, left = (float(v) for v in corners.min(axis=0))
    bottom, right = (float(v) for v in corners.max(axis=0))
    return polygon([(top, left), (top, right), (bottom, right), (bottom, left)])


def polygon(vertices: npt.ArrayLike | Sequence[Sequence[float]]) -> tuple[Click, ...]:
    """Turn a polygon around an object into negative clicks at its vertices.

    Parameters
    ----------
    vertices : array-like, (n, 2)
        (row, column) in image pixels, outside the object.

    Returns
    -------
    tuple of Click
        One negative click per distinct vertex.

    Raises
    ------
    PromptError
        If `vertices` is empty, not finite or not of shape (n, 2).
    """
    points = _vertices(vertices, "polygon", least=1)
    clicks = (Click(float(row), float(column), False) for row, column in points)
    return tuple(dict.fromkeys(clicks))


def in_box(clicks: Iterable[Click], corners: tuple[Click, ...]) -> tuple[Click, ...]:
    """Put a box round an object that may have clicks already.

    Parameters
    ----------
    clicks : iterable of Click
        Of the object, in order. Negative ones before the first positive one are an earlier box.
    corners : tuple of Click
        As `box` gives them.

    Returns
    -------
    tuple of Click
        The corners, in the place of an earlier box, then the clicks; without any, one in the
        middle of the box.
    """
    own = tuple(itertools.dropwhile(lambda click: not click.positive, clicks))
    if not own:
        middle = np.mean([(corner.row, corner.column) for corner in corners], axis=0)
        own = (Click(*middle.tolist()),)
    return corners + own


def as_prompts(prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    """Check prompts and make them hashable.

    Negative clicks that come first become one prompt, like a box or a polygon: they say what lies
    round an object before anything says where it is.

    Parameters
    ----------
    prompts : iterable of Click or of sequences of Click

    Returns
    -------
    tuple of Prompt
        With plain Python numbers, lists turned into tuples.

    Raises
    ------
    PromptError
        If there are no prompts, one is empty, or something is not a finite `Click`.
    """
    given: Iterable[object] = (prompts,) if isinstance(prompts, Click) else prompts
    checked: list[Prompt] = []
    for prompt in given:
        if isinstance(prompt, Click):
            checked.append(_checked(prompt))
        elif isinstance(prompt, (tuple, list)) and prompt:
            checked.append(tuple(_checked(click) for click in prompt))
        else:
            raise PromptError(
                f"A prompt is a Click or a non-empty tuple of Clicks, not {prompt!r}; "
                "use Click(row, column), scribble(), box() or polygon()."
            )
    if not checked:
        raise PromptError("There are no clicks: give at least one Click(row, column).")
    around = tuple(itertools.takewhile(lambda p: isinstance(p, Click) and not p.positive, checked))
    return (flatten(around), *checked[len(around) :]) if len(around) > 1 else tuple(checked)


def flatten(prompts: Iterable[Prompt]) -> tuple[Click, ...]:
    """All clicks of `prompts`, in order."""
    clicks: list[Click] = []
    for prompt in prompts:
        if isinstance(prompt, Click):
            clicks.append(prompt)
        else:
            clicks.extend(prompt)
    return tuple(clicks)


def _checked(click: object) -> Click:
    if not isinstance(click, Click):
        raise PromptError(f"A prompt is made of Click(row, column), not {click!r}.")
    try:
        row, column = float(click.row), float(click.column)
    except (TypeError, ValueError) as error:
        raise PromptError(f"The position of {click!r} is not a number.") from error
    if not (math.isfinite(row) and math.isfinite(column)):
        raise PromptError(f"The position of {click!r} is not finite.")
    return Click(row, column, bool(click.positive))


def _vertices(
    values: npt.ArrayLike | Sequence[Sequence[float]], what: str, least: int
) -> npt.NDArray[np.float64]:
    try:
        points = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PromptError(f"The vertices of a {what} must be (row, column) numbers.") from error
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < least:
        raise PromptError(
            f"A {what} needs an array of (row, column) of shape (n, 2) with n >= {least}, "
            f"not {points.shape}."
        )
    if not np.isfinite(points).all():
        raise PromptError(f"The vertices of a {what} must be finite.")
    return points
