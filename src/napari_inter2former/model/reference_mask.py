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
    reference: Tensor, row: float, column: float, positive: bool, radius: int = CLICK_RADIUS
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
    radius : int
        Radius of the disc in pixels.
    """
    height, width = reference.shape
    r, c = round(row), round(column)
    top, bottom = max(r - radius, 0), min(r + radius + 1, height)
    left, right = max(c - radius, 0), min(c + radius + 1, width)
    if top >= bottom or left >= right:
        return
    rows = torch.arange(top, bottom)[:, None] - r
    columns = torch.arange(left, right)[None, :] - c
    value = Label.DEFINITE_FOREGROUND if positive else Label.DEFINITE_BACKGROUND
    disc = rows * rows + columns * columns <= radius * radius
    reference[top:bottom, left:right].masked_fill_(disc, value)


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
