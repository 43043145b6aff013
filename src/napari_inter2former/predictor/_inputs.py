"""Checks of what callers hand to the predictor, and its translation to windows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.errors import PromptError
from napari_inter2former.predictor._mask import Bools, Mask
from napari_inter2former.predictor._windows import HIGHEST_EXPONENT, Rect, Window
from napari_inter2former.prompts import Click, Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["as_previous", "clicks_inside", "clicks_rect", "in_window", "pixel_of", "zoom_exponent"]

LOWEST_EXPONENT = -24


def pixel_of(click: Click) -> tuple[int, int]:
    """Return the image pixel (row, column) that a click lies in."""
    return math.floor(click.row + 0.5), math.floor(click.column + 0.5)


def clicks_inside(prompts: Iterable[Prompt], shape: tuple[int, int]) -> tuple[Prompt, ...]:
    """Refuse single clicks outside the image; drop those of a stroke that has some inside.

    Parameters
    ----------
    prompts : iterable of Prompt
        As `napari_inter2former.prompts.as_prompts` gives them.
    shape : tuple of int
        (height, width) of the image.

    Raises
    ------
    PromptError
        If a click, or all of a tuple, lies outside the image.
    """
    checked: list[Prompt] = []
    for prompt in prompts:
        clicks = (prompt,) if isinstance(prompt, Click) else prompt
        inside = tuple(click for click in clicks if _is_inside(click, shape))
        if not inside:
            first = clicks[0]
            raise PromptError(
                f"The click at row {first.row:g}, column {first.column:g} lies outside the image, "
                f"which has {shape[0]} rows and {shape[1]} columns."
            )
        checked.append(prompt if isinstance(prompt, Click) else inside)
    return tuple(checked)


def clicks_rect(clicks: Iterable[Click]) -> Rect:
    """Rectangle of the pixels that clicks (at least one) lie in, image coordinates."""
    pixels = [pixel_of(click) for click in clicks]
    rows, columns = zip(*pixels, strict=True)
    return min(rows), min(columns), max(rows) + 1, max(columns) + 1


def zoom_exponent(zoom: float | None) -> int | None:
    """Base-2 logarithm of a zoom, or None for None.

    Raises
    ------
    PromptError
        If it is no power of two, or out of range.
    """
    if zoom is None:
        return None
    fraction, exponent = math.frexp(zoom)
    if fraction != 0.5 or not LOWEST_EXPONENT < exponent <= HIGHEST_EXPONENT + 1:
        raise PromptError(
            f"A zoom must be one of {2**HIGHEST_EXPONENT}, ..., 2, 1, 1/2, 1/4, ..., not {zoom}."
        )
    return exponent - 1


def as_previous(previous: Mask | npt.NDArray[Any] | None, shape: tuple[int, int]) -> Mask | None:
    """Check a mask to start from.

    Parameters
    ----------
    previous : Mask, array (height, width), or None
        Of the object as it is.
    shape : tuple of int
        Of the image.

    Returns
    -------
    Mask or None
        None if there is no pixel in it.

    Raises
    ------
    PromptError
        If it does not fit the image.
    """
    if previous is None:
        return None
    if not isinstance(previous, Mask):
        array = np.asarray(previous)
        if array.shape != shape:
            raise PromptError(
                f"The previous mask has the shape {array.shape}, and the image {shape}; they must "
                "be the same."
            )
        previous = Mask.from_full(array)
    r0, c0, r1, c1 = previous.box
    if r0 < 0 or c0 < 0 or r1 > shape[0] or c1 > shape[1]:
        raise PromptError(
            f"The box {previous.box} of the previous mask reaches beyond the image, which has "
            f"{shape[0]} rows and {shape[1]} columns."
        )
    if previous.data.shape != (r1 - r0, c1 - c0):
        raise PromptError(
            f"The previous mask's data {previous.data.shape} do not match its box {previous.box}."
        )
    return previous if previous.data.any() else None


def in_window(mask: Mask, window: Window) -> Bools:
    """Resample a mask to a window's input pixels; when shrinking, by majority.

    Returns
    -------
    array of bool, (window.height, window.width)
    """
    out = np.zeros((window.height, window.width), dtype=np.bool_)
    r0, c0 = mask.box[:2]
    if window.exponent >= 0:
        n = 1 << window.exponent
        data = np.repeat(np.repeat(mask.data, n, axis=0), n, axis=1)
        row, column = r0 * n, c0 * n
    else:
        n = 1 << -window.exponent
        row, column = r0 // n, c0 // n
        rows, columns = -(-mask.box[2] // n) - row, -(-mask.box[3] // n) - column
        blocks = np.zeros((rows * n, columns * n), dtype=np.bool_)
        top, left = r0 - row * n, c0 - column * n
        blocks[top : top + mask.data.shape[0], left : left + mask.data.shape[1]] = mask.data
        counts = np.add.reduceat(
            np.add.reduceat(blocks, np.arange(0, rows * n, n), axis=0, dtype=np.int32),
            np.arange(0, columns * n, n),
            axis=1,
        )
        data = 2 * counts >= n * n
    row, column = row - window.row, column - window.column
    a0, b0 = max(row, 0), max(column, 0)
    a1, b1 = min(row + data.shape[0], window.height), min(column + data.shape[1], window.width)
    if a0 < a1 and b0 < b1:
        out[a0:a1, b0:b1] = data[a0 - row : a1 - row, b0 - column : b1 - column]
    return out


def _is_inside(click: Click, shape: tuple[int, int]) -> bool:
    row, column = pixel_of(click)
    return 0 <= row < shape[0] and 0 <= column < shape[1]
