"""Search a block of an image: pixels in, masks in image pixels out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former.everything._find import find_objects
from napari_inter2former.everything._scores import lowest_score
from napari_inter2former.predictor._drawing import Drawing, to_mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_inter2former.everything._blocks import Block
    from napari_inter2former.everything._find import Candidate
    from napari_inter2former.everything._settings import EverythingSettings
    from napari_inter2former.images import ImageSource
    from napari_inter2former.model import Inter2Former
    from napari_inter2former.predictor import Mask

__all__ = ["search_block"]

BELONGS = 16
"""An object belongs to a block if its centre lies in the core or at most so many input pixels off.

Two blocks may draw one object a little differently, so that by the core alone it could belong to
none; one that belongs to two is found out when the blocks are merged.
"""
FLAT = 1e-3
"""A window whose normalised pixels differ by less holds nothing."""


def search_block(
    model: Inter2Former,
    source: ImageSource,
    block: Block,
    settings: EverythingSettings,
    cancel: Callable[[], None] = lambda: None,
) -> list[Mask]:
    """Find the objects of a block.

    Parameters
    ----------
    model : Inter2Former
        The network.
    source : ImageSource
        The image.
    block : Block
        Where.
    settings : EverythingSettings
        How.
    cancel : callable, optional
        Called now and then; what it raises ends the search.

    Returns
    -------
    list of Mask
        In image pixels, best first; their scores are the candidates'. Some have lower scores than
        what remains when all blocks are known.
    """
    from napari_inter2former.everything._decode import encode, propose_clicks  # imports torch

    cancel()
    window = block.window
    pixels = source.read(window.row, window.column, window.height, window.width, window.exponent)
    if float(np.ptp(pixels)) < FLAT:
        return []
    features = encode(model, pixels)
    r0, c0, r1, c1 = block.core

    def belongs(at: tuple[int, int]) -> bool:
        row, column = at
        return r0 - BELONGS <= row < r1 + BELONGS and c0 - BELONGS <= column < c1 + BELONGS

    seen, grid = propose_clicks(model, features, block.clicks(settings.spacing))
    found = find_objects(model, features, [*filter(belongs, seen), *grid], cancel)
    lowest = lowest_score(settings)
    masks = []
    for one in found:
        if one.score < lowest or not belongs(one.centre):
            continue
        mask = _in_image(one, block, source.shape)
        if settings.min_area <= mask.area <= (settings.max_area or math.inf):
            masks.append(mask)
    return masks


def _in_image(one: Candidate, block: Block, shape: tuple[int, int]) -> Mask:
    """Resample the logits of the part that holds the click; the others are no part of it."""
    drawn = one.shape
    logits = np.where(drawn.data, drawn.logits, np.minimum(drawn.logits, -1.0))
    # One pixel of background round the mask, so that enlarging ends it where it ends.
    logits = np.pad(logits.astype(np.float32), 1, constant_values=-1.0)
    r0, c0, r1, c1 = drawn.box
    window = block.window
    top, left = int(r0 == 0), int(c0 == 0)
    bottom, right = int(r1 == window.height), int(c1 == window.width)
    logits = logits[top : len(logits) - bottom, left : logits.shape[1] - right]
    box = (r0 - 1 + top, c0 - 1 + left, r1 + 1 - bottom, c1 + 1 - right)
    anchor = (int(window.row / window.zoom), int(window.column / window.zoom))
    return to_mask(Drawing(logits, box, one.score), window, shape, anchor)
