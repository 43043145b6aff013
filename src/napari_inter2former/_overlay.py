"""Pictures of labels and clicks over an image."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import cv2
import numpy as np

from napari_inter2former.evaluation.regions import object_regions
from napari_inter2former.evaluation.report.cases import draw_click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_inter2former.prompts import Click

__all__ = ["beside", "beside_labels", "draw_overlay", "encode_png"]

_SCALE = 2
_GAP = 8


def draw_overlay(
    image: NDArray[np.uint8],
    labels: NDArray[np.integer[Any]],
    clicks: Mapping[int, Sequence[Click]],
) -> NDArray[np.uint8]:
    """Draw labels as coloured regions, and clicks as dots (positive) and crosses (negative).

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W) or (H, W, 3)
        Grey or RGB.
    labels : ndarray of an integer type, shape (H, W)
        0 is background.
    clicks : mapping of int to sequence of Click
        Clicks by object number.

    Returns
    -------
    ndarray of uint8, shape (2 * H, 2 * W, 3)
        RGB, twice as large so that thin lines show little objects.
    """
    colour = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
    # Microscope images are often dark: stretch all channels alike, so that hues stay.
    bright = float(np.percentile(colour, 99.8)) or 1.0
    stretched = np.clip(colour * (255.0 / bright), 0, 255).astype(np.uint8)
    picture = cv2.resize(stretched, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_CUBIC)
    tinted = picture.copy()
    for number, region in object_regions(labels).items():
        large = region.data.astype(np.uint8).repeat(_SCALE, axis=0).repeat(_SCALE, axis=1)
        outlines, _ = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        corner = (_SCALE * region.box[1], _SCALE * region.box[0])
        cv2.drawContours(tinted, outlines, -1, _colour(number), cv2.FILLED, offset=corner)
        cv2.drawContours(picture, outlines, -1, _colour(number), 1, offset=corner)
    drawn = np.asarray(cv2.addWeighted(picture, 0.75, tinted, 0.25, 0), np.uint8)
    for of_object in clicks.values():
        for click in of_object:
            at = (round(_SCALE * (click.column + 0.5)), round(_SCALE * (click.row + 0.5)))
            draw_click(drawn, at, click.positive, 3)
    return drawn


def beside(pictures: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Put pictures side by side on black, aligned at the top, with a gap between them.

    Parameters
    ----------
    pictures : sequence of ndarray, shape (H, W) or (H, W, 3)
        All of one type and number of dimensions.

    Returns
    -------
    ndarray
        As high as the highest.
    """
    high = max(picture.shape[0] for picture in pictures)
    padded = []
    for index, picture in enumerate(pictures):
        below, left = high - picture.shape[0], _GAP if index else 0
        padded.append(np.pad(picture, [(0, below), (left, 0)] + [(0, 0)] * (picture.ndim - 2)))
    return np.concatenate(padded, axis=1)


def beside_labels(labels: Sequence[NDArray[np.integer[Any]]]) -> NDArray[Any]:
    """Put label images side by side as `beside` does, with numbers that follow on.

    Parameters
    ----------
    labels : sequence of ndarray of an integer type, shape (H, W)
        0 is background.

    Returns
    -------
    ndarray of uint16 or uint32
        Every object has a number of its own, without gaps.
    """
    numbered, before = [], 0
    for image in labels:
        values, places = np.unique(image, return_inverse=True)
        numbers = np.where(values == 0, 0, before + np.cumsum(values != 0)).astype(np.uint32)
        numbered.append(numbers[places].reshape(image.shape))
        before = max(before, int(numbers.max(initial=0)))
    together = beside(numbered)
    return together.astype(np.uint16) if before <= np.iinfo(np.uint16).max else together


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Return an RGB picture as a PNG file's content."""
    written, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    if not written:
        raise ValueError(f"A picture of shape {picture.shape} cannot be written as PNG.")
    return bytes(data.tobytes())


def _colour(number: int) -> tuple[int, int, int]:
    """Return a bright colour; neighbouring numbers differ much (steps of the golden angle)."""
    red, green, blue = colorsys.hsv_to_rgb(0.618033988749895 * number % 1.0, 0.9, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
