"""Contrast for sparse images: percentiles that hold nothing but noise reach out to the objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.images._normalize import Normalization

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["reach_rare_objects"]

# All in units of the distance of the two limits, or in pixels of the sample.
FAR = 1.0
"""So far beyond a limit lies an object that the percentiles left out."""
FEWEST = 9
"""Fewer pixels are no object."""
BRIGHTNESS = 90.0
"""Percentile of the objects' pixels that becomes the limit."""
GROUND = 1.0, 99.8
"""Percentiles of the background, which is all but the rare objects."""
NOISE_RANGE = 6.5
"""Standard deviations between these, at most, in noise: Gaussian noise has 5.2."""
TILE = 64
"""Side of the tiles whose medians are taken for uneven light."""

Scaled = npt.NDArray[np.float32]


def reach_rare_objects(
    normalization: Normalization,
    blocks: Sequence[npt.NDArray[Any]],
    near: Sequence[npt.NDArray[Any]],
) -> Normalization:
    """Move limits that hold nothing but noise out to the few objects beyond them.

    A few bright cells on a dark slide cover less than the high percentile leaves out: between the
    limits there is the camera's noise, and the cells are white with all of their halo. The same
    with few dark objects. Limits between which there is structure stay as they are, so that one
    bright speck makes no image dark; nor are single hot pixels taken for objects.

    Parameters
    ----------
    normalization : Normalization
        Percentiles of the sample.
    blocks : sequence of array, (h, w, channels)
        The sample; neighbours in a block are neighbours in the image, or evenly far apart.
    near : sequence of array, (h, w, channels)
        Blocks in which they are neighbours.
    """
    low, high = list(normalization.low), list(normalization.high)
    tops = np.fmax.reduce([np.fmax.reduce(block, axis=(0, 1)) for block in blocks])
    bottoms = np.fmin.reduce([np.fmin.reduce(block, axis=(0, 1)) for block in blocks])
    for channel, (a, b) in enumerate(zip(normalization.low, normalization.high, strict=True)):
        beyond = FAR * (b - a)
        if b <= a or not (tops[channel] > b + beyond or bottoms[channel] < a - beyond):
            continue  # most images: nothing else is computed
        scaled = _scaled(blocks, normalization, channel)
        dark, bright = _far(scaled, -1), _far(scaled, 1)
        dark = dark[dark > dark.min(initial=np.inf)]  # gaps between tiles are one value, as a rule
        if (dark.size or bright.size) and _is_noise(scaled, _scaled(near, normalization, channel)):
            if bright.size:
                high[channel] = a + (b - a) * float(np.percentile(bright, BRIGHTNESS))
            if dark.size:
                low[channel] = a + (b - a) * float(np.percentile(dark, 100 - BRIGHTNESS))
    return Normalization(tuple(low), tuple(high))


def _scaled(
    blocks: Sequence[npt.NDArray[Any]], normalization: Normalization, channel: int
) -> list[Scaled]:
    one = normalization.select([channel])
    return [one.scale(block[..., channel : channel + 1])[..., 0] for block in blocks]


def _far(blocks: Sequence[Scaled], side: int) -> Scaled:
    """Values far above 1 (side 1) or far below 0 (side -1) that are not single pixels."""
    values = np.concatenate([_backed(block * side) for block in blocks])
    far = values[values > max(side, 0) + FAR]
    return far * side if far.size >= FEWEST else far[:0]


def _backed(block: Scaled) -> Scaled:
    """Each pixel, or the largest of its neighbours where that is less: no hot pixel is left."""
    padded = np.pad(block, 1, mode="constant", constant_values=-np.inf)
    neighbours = np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1])
    np.maximum(neighbours, padded[1:-1, :-2], out=neighbours)
    np.maximum(neighbours, padded[1:-1, 2:], out=neighbours)
    return np.minimum(block, neighbours, out=neighbours).ravel()


def _is_noise(blocks: Sequence[Scaled], near: Sequence[Scaled]) -> bool:
    """Whether all but rare pixels differ from their surroundings as from their neighbours."""
    ground = np.concatenate([_levelled(block) for block in blocks])
    bottom, top = np.percentile(ground, GROUND)
    steps = np.concatenate([np.abs(np.diff(block.clip(0, 1), axis=1)).ravel() for block in near])
    if not steps.size:
        return False
    # Neighbours in Gaussian noise differ by 0.954 standard deviations in the median, by 1.128 in
    # the mean, which counts where most pixels are alike.
    deviation = np.median(steps) / 0.954 or steps.mean() / 1.128
    return bool(top - bottom < NOISE_RANGE * deviation)


def _levelled(block: Scaled) -> Scaled:
    """Differences from the median of each tile."""
    h, w = (length - length % TILE or length for length in block.shape)
    rows, columns = max(1, h // TILE), max(1, w // TILE)
    tiles = block[:h, :w].reshape(rows, h // rows, columns, w // columns)
    return (tiles - np.median(tiles, axis=(1, 3), keepdims=True)).ravel()
