"""The reference mask: what the user said and what the model predicted, in five labels.

`M_ref` of Inter2Former, section 3.3, with InterFormer's update rules.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

from napari_inter2former.kernels._extension import native

CLICK_RADIUS = 5
"""Radius of a click's disc in input pixels (Inter2Former, section 3.1)."""
LEAST_REACH = 3
"""A fine disc holds at least the pixels nearer than the root of this: a click and its eight
neighbours."""


class Label(IntEnum):
    """Values of a reference mask."""

    DEFINITE_BACKGROUND = 0
    POSSIBLE_BACKGROUND = 1
    UNKNOWN = 2
    POSSIBLE_FOREGROUND = 3
    DEFINITE_FOREGROUND = 4


def new(height: int, width: int) -> Tensor:
    """Return the reference mask before the first click: everything unknown.

    Returns
    -------
    Tensor
        uint8 tensor of shape (height, width).
    """
    return torch.full((height, width), Label.UNKNOWN, dtype=torch.uint8)


def from_mask(mask: Tensor) -> Tensor:
    """Turn an existing mask into possible foreground and possible background.

    Parameters
    ----------
    mask : Tensor
        bool tensor of any shape.

    Returns
    -------
    Tensor
        uint8 tensor of the same shape.
    """
    return mask.to(torch.uint8) * 2 + 1


def add_click(
    reference: Tensor,
    row: float,
    column: float,
    positive: bool,
    fine: bool = False,
    before: Tensor | None = None,
) -> None:
    """Write a click's disc into a reference mask, in place.

    Parameters
    ----------
    reference : Tensor
        uint8 reference mask of shape (H, W).
    row, column : float
        Centre of the disc in pixels of the mask; the disc is cut at the border.
    positive : bool
        Whether the click marks the object or the background.
    fine : bool
        Whether the disc ends before the border of the mask so far, where that is known: a pixel
        whose label the last prediction contradicted is unknown, and ends nothing. A click corrects
        an error, and the error ends at that border: a click on a thin one then says how thin it
        is, and speaks for few pixels beyond it. Otherwise the radius is the paper's.
    before : Tensor, optional
        The reference mask that has that border, if `reference` has been written to since, so that
        discs of one scribble do not end each other.
    """
    height, width = reference.shape
    r, c = round(row), round(column)
    top, bottom = max(r - CLICK_RADIUS, 0), min(r + CLICK_RADIUS + 1, height)
    left, right = max(c - CLICK_RADIUS, 0), min(c + CLICK_RADIUS + 1, width)
    if top >= bottom or left >= right:
        return
    rows = torch.arange(top, bottom)[:, None] - r
    columns = torch.arange(left, right)[None, :] - c
    distances = rows * rows + columns * columns
    reach = CLICK_RADIUS * CLICK_RADIUS + 1
    if fine and 0 <= r < height and 0 <= c < width:
        before = reference if before is None else before
        label = int(before[r, c])
        # What is unknown is taken for the error that the click corrects.
        inside = label > Label.UNKNOWN or (label == Label.UNKNOWN and not positive)
        other = Label.POSSIBLE_BACKGROUND if inside else Label.POSSIBLE_FOREGROUND
        beyond = distances[before[top:bottom, left:right] == other]
        reach = min(reach, int(beyond.min())) if beyond.numel() else reach
    value = Label.DEFINITE_FOREGROUND if positive else Label.DEFINITE_BACKGROUND
    near = reference[top:bottom, left:right]
    near.masked_fill_(distances < max(reach, LEAST_REACH), value)


def update(reference: Tensor, foreground: Tensor) -> None:
    """Move a reference mask on after a prediction, in place.

    Unknown becomes possible as predicted; a possible label that the prediction contradicts
    becomes unknown; definite labels stay.

    Parameters
    ----------
    reference : Tensor
        uint8 reference mask of any shape.
    foreground : Tensor
        bool prediction of the same shape.
    """
    index = foreground.to(torch.uint8) * 5 + reference
    reference.copy_(_NEXT.to(index.device)[index.int()])


def update_inside(reference: Tensor, logits: Tensor, top: int, left: int) -> None:
    """Move a reference mask on after a prediction in a box, in place; see `update`.

    Parameters
    ----------
    reference : Tensor
        uint8 reference mask (H, W), on the CPU.
    logits : Tensor
        float32 (h, w), on the CPU; foreground where they are above 0. Outside there is none.
    top, left : int
        Where the box is.
    """
    module = native()
    if module is not None and reference.is_contiguous() and logits.stride(-1) == 1:
        threads = torch.get_num_threads()
        module.update_reference(reference.numpy(), logits.numpy(), top, left, threads)
        return
    foreground = torch.zeros(reference.shape, dtype=torch.bool)
    foreground[top : top + len(logits), left : left + logits.shape[1]] = logits > 0
    update(reference, foreground)


# Rows: predicted background, predicted foreground; columns: the five labels.
_NEXT = torch.tensor([0, 1, 1, 2, 4, 0, 2, 3, 3, 4], dtype=torch.uint8)
