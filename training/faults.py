"""Masks with faults, as other programs and people make them, to be corrected with clicks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_inter2former.training.synthetic import displacement, smooth_noise

Mask = NDArray[np.bool_]


def faulty(target: Mask, other: Mask, rng: np.random.Generator) -> Mask:
    """Return a mask of an object that is mostly right.

    Too large, too small, moved, bent, with a piece missing, or grown together with something
    else; often several of these at once.

    Parameters
    ----------
    target : ndarray
        bool (H, W), the object.
    other : ndarray
        bool (H, W), another object, of the same image or not.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray
        bool (H, W).
    """
    mask = target
    for _ in range(int(rng.integers(1, 3))):
        fault = (resize, move, bend, lose)[rng.integers(4)]
        mask = fault(mask, rng)
    if rng.random() < 0.15:
        mask = mask | other
    return mask


def radius(mask: Mask) -> float:
    """Return the radius of a disc of the mask's area, in pixels; at least 2."""
    return max(float(np.sqrt(np.count_nonzero(mask) / np.pi)), 2.0)


def resize(mask: Mask, rng: np.random.Generator) -> Mask:
    """Grow or shrink the mask."""
    reach = 2 * int(np.ceil(radius(mask) * rng.uniform(0.03, 0.3))) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    change = cv2.dilate if rng.random() < 0.5 else cv2.erode
    return np.asarray(change(mask.astype(np.uint8), disc) > 0)


def move(mask: Mask, rng: np.random.Generator) -> Mask:
    """Move the mask, as between slices or frames."""
    columns, rows = rng.normal(0, 0.2 * radius(mask), 2)
    matrix = np.array([[1, 0, columns], [0, 1, rows]])
    moved = cv2.warpAffine(mask.astype(np.uint8), matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST)
    return np.asarray(moved > 0)


def bend(mask: Mask, rng: np.random.Generator) -> Mask:
    """Draw the outline carelessly."""
    side = max(mask.shape)
    columns, rows = (m[: mask.shape[0], : mask.shape[1]] for m in displacement(side, 0.25, rng))
    return np.asarray(cv2.remap(mask.astype(np.uint8), columns, rows, cv2.INTER_NEAREST) > 0)


def lose(mask: Mask, rng: np.random.Generator) -> Mask:
    """Lose the pixels on one side of a bent line."""
    if not mask.any():
        return mask
    height, width = mask.shape
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.ogrid[:height, :width]
    across = rows * np.sin(angle) + columns * np.cos(angle)
    field = smooth_noise(max(mask.shape), 2 * radius(mask), rng)[:height, :width]
    across = across + 0.3 * radius(mask) * field
    return np.asarray(mask & (across > np.quantile(across[mask], rng.uniform(0.05, 0.5))))
