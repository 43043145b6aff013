"""Simulated clicks for training (RITM's and SegNext's scheme; SegNext, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_inter2former.model import reference_mask as rm
from napari_inter2former.training.faults import faulty

DEPTH = 1.7
"""Clicks are drawn where the depth inside the error region exceeds its maximum over this."""
GRAINS = (1, 2, 4)
"""How many pixels of a crop, along each side, may be one of the user's image."""
LEAST_PIXELS = 64
"""An object has at least so many pixels of the user's image."""


def depth(region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return each pixel's distance to the outside of a region; the image's border is outside."""
    padded = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1], np.float32)


def draw_click(
    target: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    rng: np.random.Generator,
    careless: float = 0,
    grain: int = 1,
) -> tuple[int, int, bool] | None:
    """Draw a click in the deeper of the two error regions, of two alike in what is too much.

    As `napari_inter2former.evaluation.clicks.next_click` decides, so that the network learns what
    such a click says, and what it doesn't: small objects are shown enlarged, errors of an image
    pixel are alike on both sides, and then each click is negative, however good the mask.

    Parameters
    ----------
    target, predicted : ndarray
        bool (H, W).
    rng : numpy.random.Generator
        Source of randomness.
    careless : float
        Probability that the click falls anywhere in that region, also near its border, as people
        click; else it falls in its deep part.
    grain : int
        So many pixels along each side are one pixel of the image that the user sees, which has
        the value of its middle. A first click needs no grain.

    Returns
    -------
    tuple
        (row, column, positive), or None where the prediction is right.
    """
    if grain > 1 and predicted.any():
        middle = np.s_[grain // 2 :: grain, grain // 2 :: grain]
        click = draw_click(target[middle], predicted[middle], rng, careless)
        if click is None:
            return None
        row, column, positive = click
        return grain * row + grain // 2, grain * column + grain // 2, positive
    wrong = target ^ predicted
    rows, columns = np.flatnonzero(wrong.any(1)), np.flatnonzero(wrong.any(0))
    if not len(rows):
        return None
    # Distances are computed in the errors' box only; its border is no error, like the image's.
    top, left = int(rows[0]), int(columns[0])
    box = np.s_[top : rows[-1] + 1, left : columns[-1] + 1]
    missed, extra = depth(wrong[box] & target[box]), depth(wrong[box] & predicted[box])
    positive = bool(missed.max() > extra.max())
    deep = missed if positive else extra
    least = 0 if rng.random() < careless else deep.max() / DEPTH
    candidates = np.flatnonzero(deep > least)
    row, column = divmod(int(rng.choice(candidates)), deep.shape[1])
    return row + top, column + left, positive


def add_clicks(
    reference: Tensor,
    targets: Tensor,
    predicted: Tensor,
    rng: np.random.Generator,
    careless: float = 0,
    fine: bool = False,
    grains: Sequence[int] | None = None,
) -> None:
    """Click once in every reference mask of a batch, in place.

    Parameters
    ----------
    reference : Tensor
        uint8 (B, H, W).
    targets, predicted : Tensor
        bool (B, H, W).
    rng : numpy.random.Generator
        Source of randomness.
    careless : float
        See `draw_click`.
    fine : bool
        See `reference_mask.add_click`.
    grains : sequence of int, optional
        One for each mask, see `draw_click`; 1 by default.
    """
    truth, guess = targets.cpu().numpy(), predicted.cpu().numpy()
    on_cpu = reference.cpu()
    grains = [1] * len(truth) if grains is None else grains
    for mask, right, now, grain in zip(on_cpu, truth, guess, grains, strict=True):
        click = draw_click(right, now, rng, careless, grain)
        if click is not None:
            rm.add_click(mask, *click, fine)
    if reference.device != on_cpu.device:
        reference.copy_(on_cpu)


def draw_grains(targets: Tensor, rng: np.random.Generator) -> list[int]:
    """Return for each target how large a pixel of the user's image is, see `draw_click`.

    Parameters
    ----------
    targets : Tensor
        bool (B, H, W).
    rng : numpy.random.Generator
        Source of randomness.
    """
    return [
        int(rng.choice([n for n in GRAINS if n == 1 or area >= LEAST_PIXELS * n * n]))
        for area in targets.flatten(1).sum(1).tolist()
    ]


def start(
    targets: Tensor, previous: float, rng: np.random.Generator, boxed: float = 0, fine: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the state before the first click.

    Parameters
    ----------
    targets : Tensor
        bool (B, H, W).
    previous : float
        Share of the targets for which there is a mask already, right but for some fault.
    rng : numpy.random.Generator
        Source of randomness.
    boxed : float
        Share of the others round which a box was drawn: negative clicks at its corners.
    fine : bool
        See `reference_mask.add_click`.

    Returns
    -------
    reference : Tensor
        uint8 (B, H, W) reference masks: possible labels where there is a mask, else unknown, but
        for a box's corners.
    predicted : Tensor
        bool (B, H, W): those masks, else empty ones.
    """
    reference = torch.full_like(targets, int(rm.Label.UNKNOWN), dtype=torch.uint8)
    predicted = torch.zeros_like(targets)
    for i in np.flatnonzero(rng.random(len(targets)) < previous):
        other = targets[int(rng.integers(len(targets)))]
        mask = faulty(targets[i].cpu().numpy(), other.cpu().numpy(), rng)
        predicted[i] = torch.from_numpy(mask)
        reference[i] = rm.from_mask(predicted[i])
    on_cpu = reference.cpu()
    for i in np.flatnonzero(rng.random(len(targets)) < boxed):
        if not bool(predicted[i].any()):
            add_box(on_cpu[i], targets[i].cpu().numpy(), rng, fine)
    return on_cpu.to(reference.device), predicted


def add_box(
    reference: Tensor, target: NDArray[np.bool_], rng: np.random.Generator, fine: bool = False
) -> None:
    """Draw a box round a target, in place: its corners are negative clicks.

    Parameters
    ----------
    reference : Tensor
        uint8 (H, W), all unknown.
    target : ndarray
        bool (H, W).
    rng : numpy.random.Generator
        Source of randomness.
    fine : bool
        See `reference_mask.add_click`.
    """
    rows, columns = (np.flatnonzero(target.any(axis)) for axis in (1, 0))
    if not len(rows):
        return
    near = rng.uniform(-0.5, 0.15 * np.sqrt(target.sum()) + 2, 4)
    top, bottom = rows[0] - near[0], rows[-1] + near[1]
    left, right = columns[0] - near[2], columns[-1] + near[3]
    height, width = target.shape
    for row in (top, bottom):
        for column in (left, right):
            at = round(row), round(column)
            within = 0 <= at[0] < height and 0 <= at[1] < width
            if within and not target[at]:
                rm.add_click(reference, *at, False, fine)
