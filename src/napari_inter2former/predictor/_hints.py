"""What prompts say about where an object is, and how large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_inter2former.predictor import _windows as geometry
from napari_inter2former.predictor._inputs import clicks_rect
from napari_inter2former.prompts import Click, Prompt, flatten

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_inter2former.predictor._drawing import Extent
    from napari_inter2former.predictor._windows import Rect, Window

__all__ = ["any_positive", "frame", "missing_part", "needed", "seen"]


def any_positive(prompts: Iterable[Prompt]) -> bool:
    """Whether any click marks the object."""
    return any(click.positive for click in flatten(prompts))


def needed(prompts: tuple[Prompt, ...]) -> Rect:
    """Return the rectangle that a window has to show: a box round the object, or positive clicks.

    What is said not to belong, far from the object, must not keep it small in its window: in a
    colony that was taken for one object clicks tell cell from cell, far apart at first.
    """
    box = frame(prompts, prompts)
    if box is not None:
        return box
    clicks = flatten(prompts)
    return clicks_rect([click for click in clicks if click.positive] or clicks)


def seen(prompts: tuple[Prompt, ...], window: Window) -> tuple[Prompt, ...]:
    """Leave out clicks that lie outside a window."""
    kept: list[Prompt] = []
    for prompt in prompts:
        if isinstance(prompt, Click):
            kept += [prompt] * window.shows(prompt.row, prompt.column)
        elif inside := tuple(c for c in prompt if window.shows(c.row, c.column)):
            kept.append(inside)
    return tuple(kept)


def frame(candidates: tuple[Prompt, ...], prompts: tuple[Prompt, ...]) -> Rect | None:
    """Return the last of some boxes or polygons round all positive clicks, image coordinates."""
    inner = [click for click in flatten(prompts) if click.positive]
    for prompt in reversed(candidates):
        corners = flatten((prompt,))
        if inner and len(corners) > 2 and not any(click.positive for click in corners):
            rect = clicks_rect(corners)
            if geometry.union((rect, clicks_rect(inner))) == rect:
                return rect
    return None


def missing_part(extent: Extent, prompt: tuple[Prompt, ...]) -> Rect | None:
    """Where the rest of an object must be, if a positive click lies far from what was drawn.

    Users, and the click protocol, click the middle of what is missing: the object goes on behind
    the click about as far as it lies away. Clicks nearer to the mask are corrections.

    Parameters
    ----------
    extent : Extent
        Of the object as it was drawn.
    prompt : tuple of Prompt
        The new one.

    Returns
    -------
    tuple of float or None
        Rectangle round the click, image coordinates; None if it is not far.
    """
    if extent.rect is None or not any_positive(prompt):
        return None
    r0, c0, r1, c1 = clicks_rect(click for click in flatten(prompt) if click.positive)
    top, left, bottom, right = extent.rect
    away = max(top - r0, r1 - bottom, left - c0, c1 - right)
    if away <= max(bottom - top, right - left) / 2:
        return None
    return r0 - away, c0 - away, r1 + away, c1 + away
