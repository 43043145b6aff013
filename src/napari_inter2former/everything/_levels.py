"""At which zooms the objects of an image are found."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import cv2
import numpy as np

from napari_inter2former.everything._blocks import Block, blocks_of
from napari_inter2former.everything._merge import surviving
from napari_inter2former.everything._scores import least_score
from napari_inter2former.everything._search import search_block
from napari_inter2former.predictor import _windows as geometry
from napari_inter2former.predictor._inputs import zoom_exponent

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_inter2former.everything._settings import EverythingSettings
    from napari_inter2former.everything._shapes import Box
    from napari_inter2former.images import ImageSource
    from napari_inter2former.model import Inter2Former
    from napari_inter2former.predictor import Mask

__all__ = ["choose_levels"]

PROBES = 2
"""Blocks of a large image that are searched at each zoom."""
SMALL, LARGE = 44.0, 110.0
"""Median size of objects (square root of the area, input pixels) that asks for another zoom."""
LEAST_SIDE = 128
"""An image is not shrunk below this side."""
WORTH = 0.15
"""A further zoom is used if it adds at least this share to the objects of the best one."""
THUMBNAIL = 2048
"""Side of the picture in which blocks are compared."""


def choose_levels(
    model: Inter2Former,
    source: ImageSource,
    settings: EverythingSettings,
    side: int,
    region: Box | None = None,
    cancel: Callable[[], None] = lambda: None,
    searched: dict[Block, list[Mask]] | None = None,
) -> list[int]:
    """Choose the zooms, best first.

    As the predictor does for one object, the search starts at the zoom of a first click and
    moves on while the objects found are small or large in the window and what they explain (area
    times score) grows.

    Parameters
    ----------
    model, source, settings, cancel
        See `search_block`.
    side : int
        Of the encoded windows.
    region : tuple of int, optional
        (r0, c0, r1, c1) in image pixels.
    searched : dict, optional
        Gets the blocks that were searched for it and what they hold.

    Returns
    -------
    list of int
        Base-2 logarithms of zooms.
    """
    chosen = zoom_exponent(settings.zoom)
    if chosen is not None:
        return [chosen]
    shape = source.shape
    area = region or (0, 0, *shape)
    highest = geometry.HIGHEST_EXPONENT
    span = max(area[2] - area[0], area[3] - area[1])
    lowest = min(0, -int(np.log2(max(1.0, span / LEAST_SIDE))))
    lowest = max(lowest, source.lowest_exponent(side))
    start = max(lowest, geometry.start_exponent(shape, model.config.window))
    found: dict[int, list[Mask]] = {}
    worth: dict[int, float] = {}

    def probe(exponent: int) -> float:
        blocks = _probes(source, blocks_of(shape, exponent, side, region))
        held = {b: search_block(model, source, b, settings, cancel) for b in blocks}
        if searched is not None:
            searched.update(held)
        found[exponent] = _objects([mask for masks in held.values() for mask in masks], settings)
        covered = sum(_core_pixels(block) for block in blocks)
        worth[exponent] = sum(m.area * m.score for m in found[exponent]) / covered
        return worth[exponent]

    probe(start)
    exponent = start
    while True:
        sizes = [m.area**0.5 * 2.0**exponent for m in found[exponent]]
        median = statistics.median(sizes) if sizes else 0.0
        # Nothing found: large objects cost least to look for.
        step = -1 if not sizes or median > LARGE else 1 if median < SMALL else 0
        following = exponent + step
        if step == 0 or following in found or not lowest <= following <= highest:
            break
        if probe(following) <= worth[exponent] and sizes:
            break
        exponent = following
    best = max(worth, key=lambda e: (worth[e], -e))
    if worth[best] == 0:
        return [start]
    return [best, *(e for e in sorted(found) if e != best and _adds(found, e, best))]


def _objects(masks: list[Mask], settings: EverythingSettings) -> list[Mask]:
    """Return what a zoom would give alone; or else, to tell in which direction to go, all of it."""
    distinct = surviving(masks)
    least = least_score(settings, [mask.score for mask in distinct])
    return [mask for mask in distinct if mask.score >= least] or distinct


def _adds(found: dict[int, list[Mask]], exponent: int, best: int) -> bool:
    """Whether a zoom finds enough objects, as far as scores tell, that the best one does not.

    Their area does not matter here: what another zoom adds is mostly small.
    """
    both = surviving([*found[best], *found[exponent]])
    first = {id(mask) for mask in found[best]}
    added = sum(m.score for m in both if id(m) not in first)
    return added >= WORTH * sum(m.score for m in found[best])


def _probes(source: ImageSource, blocks: list[Block]) -> list[Block]:
    """Choose the blocks with the most contrast; of an image that is costly to read, of some."""
    if len(blocks) <= PROBES:
        return blocks
    exponent = 0
    while max(geometry.zoomed_shape(source.shape, exponent)) > THUMBNAIL:
        exponent -= 1
    lowest = source.lowest_exponent(THUMBNAIL)
    if exponent >= lowest:
        contrasts = _in_thumbnail(source, blocks, exponent)
    else:
        window = blocks[0].window
        count = (
            int(THUMBNAIL**2 * 4.0 ** (window.exponent - lowest)) // window.height // window.width
        )
        order = np.random.default_rng(0).permutation(len(blocks))
        blocks = [blocks[i] for i in sorted(order[: max(count, PROBES)])]
        contrasts = [_contrast(source, block) for block in blocks]
    first = sorted(range(len(blocks)), key=lambda i: (-contrasts[i], i))
    return [blocks[i] for i in sorted(first[:PROBES])]


def _in_thumbnail(source: ImageSource, blocks: list[Block], exponent: int) -> list[float]:
    """Contrast of blocks in a picture of the whole image."""
    height, width = geometry.zoomed_shape(source.shape, exponent)
    thumbnail = source.read(0, 0, height, width, exponent).mean(axis=2)

    def contrast(block: Block) -> float:
        factor = 2.0 ** (exponent - block.window.exponent)
        r0, c0, r1, c1 = block.core
        row, column = block.window.row, block.window.column
        rows = slice(int((row + r0) * factor), int((row + r1) * factor) + 1)
        columns = slice(int((column + c0) * factor), int((column + c1) * factor) + 1)
        return float(thumbnail[rows, columns].std())

    return [contrast(block) for block in blocks]


def _contrast(source: ImageSource, block: Block) -> float:
    """Contrast of a block that is read for it, without most of its noise."""
    at, (r0, c0, r1, c1) = block.window, block.core
    pixels = source.read(at.row, at.column, at.height, at.width, at.exponent).mean(axis=2)
    small = cv2.resize(pixels[r0:r1, c0:c1], None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
    return float(small.std())


def _core_pixels(block: Block) -> float:
    r0, c0, r1, c1 = block.core
    return (r1 - r0) * (c1 - c0) / block.window.zoom**2
