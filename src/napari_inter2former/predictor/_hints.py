"""What prompts say about where an object is, and how large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_inter2former._depth import squared_depth
from napari_inter2former.predictor import _windows as geometry
from napari_inter2former.predictor._inputs import clicks_rect, in_window
from napari_inter2former.prompts import Click, Prompt, flatten

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_inter2former.predictor._drawing import Extent
    from napari_inter2former.predictor._mask import Mask
    from napari_inter2former.predictor._windows import Rect, Window

__all__ = ["any_positive", "frame", "missing_part", "needed", "refuted", "seen"]

FAR = 0.3
"""A positive click further from a mask than this share of its longer side tells of a missing part;
a nearer one corrects the border."""
DEEP = 0.6
"""A negative click is deep in a mask from this share of its largest depth on."""
REFUTED = 0.8
"""A mask is refuted by a deep negative click that leaves no more than this share of its area."""


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
    if away <= FAR * max(bottom - top, right - left):
        return None
    return r0 - away, c0 - away, r1 + away, c1 + away


def refuted(before: Mask, after: Mask, window: Window, prompt: tuple[Prompt, ...]) -> bool:
    """Whether a negative click says that most of what was drawn is not the object.

    Users, and the click protocol, click the middle of what is too much. If that is about as deep in
    the mask as any of its pixels, the object is one of the many that were taken for it, or a part.

    Parameters
    ----------
    before, after : Mask
        As it was drawn without the new prompt, and with it.
    window : Window
        Where it was drawn before.
    prompt : tuple of Prompt
        The new one.
    """
    if after.area > REFUTED * before.area:
        return False
    depth = squared_depth(in_window(before, window))
    deep = DEEP**2 * depth.max()
    return any(
        not click.positive
        and window.shows(click.row, click.column)
        and 0 < deep <= depth[window.to_input(click.row, click.column)]
        for click in flatten(prompt)
    )
