"""Random smooth fields: the material of shapes, textures and light."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def smooth_noise(side: int, scale: float, rng: np.random.Generator, stretch: float = 1) -> Field:
    """Return a smooth random field of mean 0 and standard deviation about 1.

    Parameters
    ----------
    side : int
        Side of the field in pixels.
    scale : float
        Distance in pixels over which it changes.
    rng : numpy.random.Generator
        Source of randomness.
    stretch : float
        Factor by which it is longer along rows than along columns.

    Returns
    -------
    ndarray
        float32 (side, side).
    """
    if scale < 1.5:
        return rng.standard_normal((side, side), dtype=np.float32)
    rows = max(int(side / (scale * stretch)), 2) + 2
    columns = max(int(side / (scale / stretch)), 2) + 2
    grid = rng.standard_normal((min(rows, side), min(columns, side)), dtype=np.float32)
    # Bilinear is cheaper; the coarsest fields would show their grid.
    way = cv2.INTER_CUBIC if scale > 6 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grid, (side, side), interpolation=way)) * np.float32(1.4)


def texture(side: int, rng: np.random.Generator) -> Field:
    """Return a texture of a random kind: mean about 0, standard deviation about 1."""
    kind = rng.choice(6, p=[0.25, 0.15, 0.15, 0.07, 0.19, 0.19])
    scale = float(np.exp(rng.uniform(np.log(1.5), np.log(side / 8))))
    stretch = float(np.exp(rng.uniform(-1, 1))) if rng.random() < 0.4 else 1.0
    field = smooth_noise(side, scale, rng, stretch)
    if kind == 0:  # of several scales
        field = field + 0.7 * smooth_noise(side, scale / 2.5, rng, stretch)
        return np.asarray((field + 0.5 * smooth_noise(side, scale / 6, rng)) / 1.3, np.float32)
    if kind == 1:  # granules, or holes
        sign = np.float32(rng.choice([-2.5, 2.5]))
        return sign * np.clip((field - np.float32(rng.uniform(0.4, 1.3))) * 3, 0, 1)
    if kind == 2:  # ridges, a network
        return np.float32(1.2) - np.float32(3) * np.minimum(np.abs(field), np.float32(0.8))
    if kind == 3:  # stripes
        rows, columns = np.ogrid[:side, :side]
        angle, period = rng.uniform(0, np.pi), max(scale, 4)
        phase = (rows * np.sin(angle) + columns * np.cos(angle)) * (2 * np.pi / period)
        bend = smooth_noise(side, 3 * period, rng) * np.float32(rng.uniform(0, 2))
        return np.asarray(np.sin(phase.astype(np.float32) + bend) * np.float32(1.3))
    return field


def displacement(side: int, amount: float, rng: np.random.Generator) -> tuple[Field, Field]:
    """Return the maps of a smooth elastic deformation, for `cv2.remap`.

    Parameters
    ----------
    side : int
        Side of the map in pixels.
    amount : float
        Standard deviation of the displacement, as a share of the side of its grid's cells.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    columns, rows : ndarray
        float32 (side, side), where each pixel comes from.
    """
    cells = int(rng.integers(3, 9))
    grid = rng.standard_normal((cells + 1, cells + 1, 2), dtype=np.float32)
    moves = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    moves *= np.float32(amount * side / cells)
    place = np.arange(side, dtype=np.float32)
    return moves[..., 0] + place, moves[..., 1] + place[:, None]


def deform(labels: NDArray[np.int32], amount: float, rng: np.random.Generator) -> NDArray[np.int32]:
    """Deform a square label map elastically; see `displacement`. Fewer than 2**24 labels."""
    columns, rows = displacement(len(labels), amount, rng)
    moved = cv2.remap(
        labels.astype(np.float32), columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved, np.int32)
