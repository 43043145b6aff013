"""Contrast limits from a bounded sample of a plane, or of all planes of a stack together."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_inter2former.images._channels import as_channels
from napari_inter2former.images._levels import Level, find_levels
from napari_inter2former.images._normalize import HIGH_PERCENTILE, LOW_PERCENTILE, Normalization
from napari_inter2former.images._rare import reach_rare_objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_inter2former.images._channels import Channels
    from napari_inter2former.images._stored import StoredImage

__all__ = ["estimate_normalization", "normalization_of"]

PERCENTILES = LOW_PERCENTILE, HIGH_PERCENTILE

# Images up to this many pixels are normalised by all of them, others by a sample of about as many.
SAMPLE_PIXELS = 1 << 20
# A larger image on disk is sampled in blocks this many times this many: a pixel costs a chunk.
SAMPLE_GRID = 4
# Every other block is enough if each of them shows this share of the range of all of them.
EVEN_SHARE = 0.25
# Of longer stacks so many planes are looked at, evenly spread.
SAMPLE_PLANES = 16

Pixels = npt.NDArray[Any]
Box = tuple[int, int, int, int]  # r0, r1, c0, c1


def normalization_of(
    image: StoredImage,
    channels: Channels | Iterable[str] | None = None,
    *,
    percentiles: tuple[float, float] | None = None,
    planes: Sequence[int | Mapping[str, int]] | None = None,
) -> Normalization:
    """Estimate one contrast for all planes of a stack or series, so that they look alike.

    Parameters
    ----------
    image : StoredImage
        See `open_image`.
    channels : Channels or sequence of str, optional
        See `as_image_source`; what is ignored is not read, and gets the limits (0, 0).
    percentiles : tuple of float, optional
        Which percentiles of each channel become 0 and 1. By default 1 and 99.8; where these hold
        nothing but noise, and a few objects lie beyond, what shows those.
    planes : sequence of int or mapping, optional
        The planes to look at, as for `StoredImage.plane`; by default all, of more than 16 an even
        choice. About a million pixels are read of all of them together.

    Returns
    -------
    Normalization
        For `as_image_source` and ``Predictor.set_image``.

    Raises
    ------
    ImageError
        If the image can't be read, or the channels don't fit.
    """
    if planes is None:
        count = min(image.planes, SAMPLE_PLANES)
        planes = [(2 * i + 1) * image.planes // (2 * count) for i in range(count)]
    stack = [find_levels(*image.plane(number)) for number in planes]
    count = stack[0][0].channels
    chosen = as_channels(channels, count)
    used = tuple(range(count)) if chosen is None else chosen.used
    stack = [tuple(replace(level, used=used) for level in levels) for levels in stack]
    return estimate_normalization(stack, percentiles).spread(used, count)


def estimate_normalization(
    planes: Sequence[tuple[Level, ...]], percentiles: tuple[float, float] | None = None
) -> Normalization:
    """Estimate the limits from at most about `SAMPLE_PIXELS` pixels of all planes together.

    Of each plane the smallest level that has a quarter of its share of pixels is used; if it is
    larger than the share, every n-th pixel of an array in memory and a grid of blocks of any other:
    half of them, as the fields of one colour on a chessboard, if all of these hold something.
    """
    share = max(1, SAMPLE_PIXELS // len(planes))
    samples = [_sample(levels, share) for levels in planes]
    blocks = [block for sample in samples for block in sample.blocks]
    flat = [block.reshape(-1, block.shape[-1]) for block in blocks]
    pixels = np.concatenate(flat) if len(flat) > 1 else flat[0]
    normalization = Normalization.from_sample(pixels, percentiles or PERCENTILES)
    if percentiles is None:
        near = [block for sample in samples for block in sample.near]
        normalization = reach_rare_objects(normalization, blocks, near)
    if all(sample.blocks[0] is sample.whole for sample in samples):
        return normalization
    return _not_blind(normalization, pixels.dtype, [sample.whole for sample in samples])


class _Sample(NamedTuple):
    """Pixels of a plane, (h, w, channels): what is counted, neighbours, and all if that is cheap.

    `near` differs from `blocks` where those are every n-th pixel.
    """

    blocks: list[Pixels]
    near: list[Pixels]
    whole: Pixels | None


def _sample(levels: tuple[Level, ...], share: int) -> _Sample:
    enough = [level for level in levels if level.height * level.width >= share // 4]
    level = enough[-1] if enough else levels[0]
    height, width = level.height, level.width
    if height * width <= share:
        whole = level.read(0, height, 0, width)
        return _Sample([whole], [whole], whole)
    if level.in_memory:
        step = math.ceil(math.sqrt(height * width / share))
        view = level.read(0, height, 0, width)  # a view: nothing is copied
        boxes = _blocks(height, width, share, (1, 1))
        near = [view[r0:r1, c0:c1] for _, (r0, r1, c0, c1) in boxes]
        return _Sample([view[::step, ::step]], near, view)
    boxes = _blocks(height, width, share, level.chunk)
    first, second = ([box for field, box in boxes if field == colour] for colour in (0, 1))
    blocks = _read(level, first)
    if not _even(blocks):
        blocks += _read(level, second)
    return _Sample(blocks, blocks, None)


def _read(level: Level, boxes: Iterable[Box]) -> list[Pixels]:
    """Read blocks; those in the same chunks together, so that these are decoded once."""
    together: dict[Box, list[Box]] = {}
    for r0, r1, c0, c1 in boxes:
        (h, w) = level.chunk
        chunks = r0 // h, (r1 - 1) // h, c0 // w, (c1 - 1) // w
        together.setdefault(chunks, []).append((r0, r1, c0, c1))
    blocks = []
    for group in together.values():
        top, bottom, left, right = (
            end(ends) for end, ends in zip((min, max) * 2, zip(*group, strict=True), strict=True)
        )
        pixels = level.read(top, bottom, left, right)
        for r0, r1, c0, c1 in group:
            blocks.append(pixels[r0 - top : r1 - top, c0 - left : c1 - left].copy())
    return blocks


def _even(blocks: Sequence[Pixels]) -> bool:
    """Whether every block shows a fair part of the range of all, in every channel."""
    low, high = (
        np.array([end.reduce(block, axis=(0, 1)) for block in blocks], dtype=np.float64)
        for end in (np.fmin, np.fmax)
    )
    with np.errstate(invalid="ignore"):  # infinities: look at everything
        whole = np.fmax.reduce(high) - np.fmin.reduce(low)
        return bool((whole > 0).all() and (high - low >= EVEN_SHARE * whole).all())


def _not_blind(
    normalization: Normalization, dtype: np.dtype[Any], wholes: Sequence[Pixels | None]
) -> Normalization:
    """Widen an even sample of a large image: what it missed must stay visible.

    All pixels are looked at where they are in memory; of others the dtype's range is taken.
    """
    low, high = list(normalization.low), list(normalization.high)
    for channel in range(normalization.channels):
        if high[channel] > low[channel]:
            continue
        known = [pixels[..., channel] for pixels in wholes if pixels is not None]
        if len(known) == len(wholes):
            ends = (
                float(end.reduce([end.reduce(pixels, axis=None) for pixels in known]))
                for end in (np.fmin, np.fmax)
            )
            low[channel], high[channel] = (v if math.isfinite(v) else 0.0 for v in ends)
        elif dtype.kind in "iu":
            high[channel] = float(np.iinfo(dtype).max)
        elif dtype.kind == "b":
            low[channel], high[channel] = 0.0, 1.0
    return Normalization(tuple(low), tuple(high))


def _blocks(height: int, width: int, share: int, chunk: tuple[int, int]) -> list[tuple[int, Box]]:
    """Evenly spread blocks, `share` pixels together, each in few chunks.

    Each is (r0, r1, c0, c1), after 0 or 1 for the colour of its field on a chessboard.
    """
    side = max(1, math.isqrt(share) // SAMPLE_GRID)
    h = min(height, max(side, share // SAMPLE_GRID**2 // max(1, min(width, side))))
    w = min(width, max(side, share // SAMPLE_GRID**2 // max(1, min(height, side))))
    blocks = []
    for i in range(SAMPLE_GRID):
        for j in range(SAMPLE_GRID):
            r0 = round((height - h) * (i + 0.5) / SAMPLE_GRID)
            c0 = round((width - w) * (j + 0.5) / SAMPLE_GRID)
            r0, c0 = _aligned(r0, h, chunk[0]), _aligned(c0, w, chunk[1])
            blocks.append(((i + j) % 2, (r0, r0 + h, c0, c0 + w)))
    return blocks


def _aligned(start: int, size: int, chunk: int) -> int:
    """Move a block that crosses the border of a chunk to its start: one chunk instead of two."""
    crosses = start // chunk != (start + size - 1) // chunk
    return start - start % chunk if crosses else start
