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
# A sample in which a channel is even may have missed all objects. Up to so many times its pixels
# are read then, of an image that is memory-mapped or stored otherwise: all, or a finer grid.
MAPPED_SHARES, STORED_SHARES = 1 << 8, 1 << 6
FINE_GRID = 16
STRIP_BYTES = 1 << 26
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
        choice. About a million pixels are read of all of them together, and more where these are
        all alike.

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
    half of them, as the fields of one colour on a chessboard, if all of these hold something. What
    is even in the sample is looked at more closely.
    """
    share = max(1, SAMPLE_PIXELS // len(planes))
    samples = [_sample(levels, share) for levels in planes]
    found = _limits(samples, percentiles)
    even = [i for i, (a, b) in enumerate(zip(found.low, found.high, strict=True)) if not b > a]
    if not even or all(_size(_fitting(levels, share)) <= share for levels in planes):
        return found
    closer = [_closer(*pair, share, even) for pair in zip(planes, samples, strict=True)]
    limits = _not_blind(_limits(closer, percentiles), closer, samples[0].blocks[0].dtype)
    low, high = list(found.low), list(found.high)
    for channel, a, b in zip(even, limits.low, limits.high, strict=True):
        low[channel], high[channel] = a, b
    return Normalization(tuple(low), tuple(high))


class _Sample(NamedTuple):
    """Pixels of a plane, (h, w, channels): what is counted, and neighbours.

    `near` differs from `blocks` where those are every n-th pixel. `ends`, (n, channels), holds the
    smallest and the largest value of all pixels, where these were looked at.
    """

    blocks: list[Pixels]
    near: list[Pixels]
    ends: Pixels | None = None


def _limits(samples: Sequence[_Sample], percentiles: tuple[float, float] | None) -> Normalization:
    blocks = [block for sample in samples for block in sample.blocks]
    flat = [block.reshape(-1, block.shape[-1]) for block in blocks]
    pixels = np.concatenate(flat) if len(flat) > 1 else flat[0]
    normalization = Normalization.from_sample(pixels, percentiles or PERCENTILES)
    if percentiles is not None:
        return normalization
    near = [block for sample in samples for block in sample.near]
    return reach_rare_objects(normalization, blocks, near)


def _fitting(levels: tuple[Level, ...], share: int) -> Level:
    enough = [level for level in levels if _size(level) >= share // 4]
    return enough[-1] if enough else levels[0]


def _size(level: Level) -> int:
    return level.height * level.width


def _step(level: Level, share: int) -> int:
    return math.ceil(math.sqrt(_size(level) / share))


def _sample(levels: tuple[Level, ...], share: int) -> _Sample:
    level = _fitting(levels, share)
    height, width = level.height, level.width
    if _size(level) <= share:
        whole = level.read(0, height, 0, width)
        return _Sample([whole], [whole])
    if level.in_memory:
        step = _step(level, share)
        view = level.read(0, height, 0, width)  # a view: nothing is copied
        boxes = _blocks(height, width, share, (1, 1))
        near = [view[r0:r1, c0:c1] for _, (r0, r1, c0, c1) in boxes]
        return _Sample([view[::step, ::step]], near)
    boxes = _blocks(height, width, share, level.chunk)
    first, second = ([box for field, box in boxes if field == colour] for colour in (0, 1))
    blocks = _read(level, first)
    if not _even(blocks):
        blocks += _read(level, second)
    return _Sample(blocks, blocks)


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


def _closer(levels: tuple[Level, ...], sample: _Sample, share: int, channels: list[int]) -> _Sample:
    """Look again at channels that are even in a sample: at all pixels, counted as in memory.

    Or, where that takes too long, at more blocks and the smallest level.
    """
    used = levels[0].used or range(levels[0].channels)
    levels = tuple(replace(level, used=tuple(used[i] for i in channels)) for level in levels)
    level = _fitting(levels, share)
    most = share * (MAPPED_SHARES if isinstance(level.array, np.memmap) else STORED_SHARES)
    most //= len(channels)
    if level.in_memory or _size(level) <= most:
        nth, ends = _in_strips(level, share)
        return _Sample([nth], [block[..., channels] for block in sample.near], ends)
    chunk = math.prod(max(n, math.isqrt(share) // SAMPLE_GRID) for n in level.chunk)
    grid = max(1, min(FINE_GRID, math.isqrt(most // chunk)))
    fine = share * grid**2 // SAMPLE_GRID**2
    boxes = _blocks(level.height, level.width, fine, level.chunk, grid)
    blocks = [block[..., channels] for block in sample.blocks]
    blocks += _read(level, [box for _, box in boxes])
    if levels[-1] is not level:  # too small for a sample, and read at once
        blocks.append(levels[-1].read(0, levels[-1].height, 0, levels[-1].width))
    return _Sample(blocks, blocks)


def _in_strips(level: Level, share: int) -> tuple[Pixels, Pixels]:
    """Every n-th pixel, and the smallest and largest values of each strip of rows."""
    step = _step(level, share)
    chunk = level.chunk[0]
    rows = max(1, STRIP_BYTES // (level.width * level.pixel_bytes) // chunk) * chunk
    nth, ends = [], []
    for r0 in range(0, level.height, rows):
        pixels = level.read(r0, min(r0 + rows, level.height), 0, level.width)
        nth.append(pixels[-r0 % step :: step, ::step].copy())
        ends.append(_ends(pixels))
    return np.concatenate(nth), np.concatenate(ends)


def _ends(pixels: Pixels) -> Pixels:
    """Smallest and largest finite value of each channel, (2, channels)."""
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        pixels = np.where(np.isfinite(pixels), pixels, np.nan)
    channels = np.moveaxis(pixels, -1, 0)
    return np.array([[end.reduce(c, axis=None) for c in channels] for end in (np.fmin, np.fmax)])


def _not_blind(
    limits: Normalization, samples: Sequence[_Sample], dtype: np.dtype[Any]
) -> Normalization:
    """Widen limits that still hold nothing: what was missed must stay visible.

    To all values where all pixels were looked at, or else to the dtype's range.
    """
    known = [sample.ends for sample in samples if sample.ends is not None]
    whole = Normalization.from_sample(np.concatenate(known), (0, 100)) if known else limits
    low, high = list(limits.low), list(limits.high)
    for channel in range(limits.channels):
        if not high[channel] > low[channel]:
            low[channel], high[channel] = whole.low[channel], whole.high[channel]
        if high[channel] > low[channel] or len(known) == len(samples):
            continue
        if dtype.kind in "iu":
            high[channel] = float(np.iinfo(dtype).max)
        elif dtype.kind == "b":
            low[channel], high[channel] = 0.0, 1.0
    return Normalization(tuple(low), tuple(high))


def _blocks(
    height: int, width: int, share: int, chunk: tuple[int, int], grid: int = SAMPLE_GRID
) -> list[tuple[int, Box]]:
    """Evenly spread blocks, `share` pixels together, each in few chunks.

    Each is (r0, r1, c0, c1), after 0 or 1 for the colour of its field on a chessboard.
    """
    side = max(1, math.isqrt(share) // grid)
    h = min(height, max(side, share // grid**2 // max(1, min(width, side))))
    w = min(width, max(side, share // grid**2 // max(1, min(height, side))))
    blocks = []
    for i in range(grid):
        for j in range(grid):
            r0 = round((height - h) * (i + 0.5) / grid)
            c0 = round((width - w) * (j + 0.5) / grid)
            r0, c0 = _aligned(r0, h, chunk[0]), _aligned(c0, w, chunk[1])
            blocks.append(((i + j) % 2, (r0, r0 + h, c0, c0 + w)))
    return blocks


def _aligned(start: int, size: int, chunk: int) -> int:
    """Move a block that crosses the border of a chunk to its start: one chunk instead of two."""
    crosses = start // chunk != (start + size - 1) // chunk
    return start - start % chunk if crosses else start
