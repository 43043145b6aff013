"""Segment everything in an image: from the plan to the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_inter2former.everything._blocks import Block, block_side, blocks_of
from napari_inter2former.everything._levels import choose_levels
from napari_inter2former.everything._merge import surviving_of_parts
from napari_inter2former.everything._paint import ObjectTable, paint_parts
from napari_inter2former.everything._parts import MemoryParts
from napari_inter2former.everything._scores import least_score
from napari_inter2former.everything._search import search_block
from napari_inter2former.everything._settings import EverythingSettings, SettingsError
from napari_inter2former.images import as_image_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from napari_inter2former.everything._parts import Parts
    from napari_inter2former.everything._shapes import Box
    from napari_inter2former.images import ImageSource, Normalization
    from napari_inter2former.model import Inter2Former
    from napari_inter2former.predictor import Mask

__all__ = [
    "Everything",
    "Plan",
    "as_network",
    "find_everything",
    "find_masks",
    "merged",
    "plan_blocks",
    "segment_everything",
]


@dataclass(frozen=True)
class Everything:
    """All objects of an image.

    Attributes
    ----------
    labels : array of int32, (height, width)
        0 is background, the objects are numbered from 1.
    table : dict of str to array
        One entry per object in each column: ``label``, ``area`` (pixels), ``centroid-0`` and
        ``centroid-1`` (row and column), ``bbox-0`` to ``bbox-3`` (r0, c0, r1, c1), ``score``.
    """

    labels: npt.NDArray[np.int32]
    table: ObjectTable


def segment_everything(
    image: Any,
    model: Any = "tiny",
    *,
    region: Box | None = None,
    settings: EverythingSettings | None = None,
    channel_axis: int | None = None,
    rgb: bool | None = None,
    normalization: Normalization | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Everything:
    """Find and segment all objects of an image plane.

    Objects are clicked where the network sees them in the image, and a grid of clicks is laid over
    what may be one all the same (the Segment Anything Task of SegNext, section 4), at the zooms at
    which objects are found. What is drawn is drawn again by a click at its middle; masks that the
    network itself thinks poor are background and dropped, duplicates too.

    Parameters
    ----------
    image, channel_axis, rgb, normalization
        One plane; see `napari_inter2former.images.as_image_source`.
    model : str, path, Inter2Former or Predictor
        What draws.
    region : tuple of int, optional
        (r0, c0, r1, c1) in image pixels: only objects whose centres lie there, or nearly.
    settings : EverythingSettings, optional
        How objects are looked for.
    progress : callable, optional
        Called with the blocks done and their number; the number is 0 as long as it isn't known.
        What it raises ends the search.

    Returns
    -------
    Everything
        Labels in the image's shape, and the table of the objects.

    Raises
    ------
    ImageError, WeightsError, SettingsError
        If the image, the weights or the region can't be used.

    Examples
    --------
    >>> result = segment_everything(image)  # doctest: +SKIP
    >>> result.labels.max(), result.table["area"].mean()  # doctest: +SKIP
    """
    source = as_image_source(image, channel_axis, rgb, normalization)
    found = find_everything(source, model, region=region, settings=settings, progress=progress)
    labels = np.zeros(source.shape, np.int32)
    return Everything(labels, paint_parts(labels, found))


def find_everything(
    source: ImageSource,
    model: Any = "tiny",
    *,
    region: Box | None = None,
    settings: EverythingSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[Mask]]:
    """Find all objects of an image plane of any size, without making labels.

    Parameters
    ----------
    source : ImageSource
        The plane.
    model, region, settings, progress
        See `segment_everything`.

    Returns
    -------
    list of list of Mask
        By parts of the image, best first; the scores are those of the table.
    """
    settings = settings or EverythingSettings()
    network = as_network(model)
    cancel = (lambda: progress(0, 0)) if progress is not None else (lambda: None)
    plan = plan_blocks(network, source, settings, region=region, cancel=cancel)
    blocks, parts = plan.blocks, MemoryParts()
    plan.keep(parts)
    for done in find_masks(network, source, blocks, settings, parts, cancel):
        if progress is not None:
            progress(done, len(blocks))
    return list(merged(parts, len(blocks), settings))


class Plan(NamedTuple):
    """What is to be searched.

    Attributes
    ----------
    levels : list of int
        Base-2 logarithms of the zooms.
    blocks : list of Block
        Of all of them.
    searched : dict
        Blocks that were searched to choose the zooms, and what they hold.
    """

    levels: list[int]
    blocks: list[Block]
    searched: dict[Block, list[Mask]]

    def keep(self, parts: Parts) -> None:
        """Keep what is known of some blocks already, so that they are not searched again."""
        for part, block in enumerate(self.blocks):
            if block in self.searched and not parts.has(part):
                parts.put(part, self.searched[block])


def plan_blocks(
    model: Inter2Former,
    source: ImageSource,
    settings: EverythingSettings,
    levels: list[int] | None = None,
    region: Box | None = None,
    cancel: Callable[[], None] = lambda: None,
) -> Plan:
    """Choose the zooms, unless they are known, and list the blocks of all of them.

    Raises
    ------
    SettingsError
        If the region does not lie in the image.
    """
    height, width = source.shape
    if region is not None:
        r0, c0, r1, c1 = region
        region = max(r0, 0), max(c0, 0), min(r1, height), min(c1, width)
        if region[0] >= region[2] or region[1] >= region[3]:
            raise SettingsError(
                f"The region {(r0, c0, r1, c1)} holds no pixel of the image, which has {height} "
                f"rows and {width} columns; give (first row, first column, row and column behind "
                "the last)."
            )
    side = block_side(model.config.window)
    searched: dict[Block, list[Mask]] = {}
    if levels is None:
        levels = choose_levels(model, source, settings, side, region, cancel, searched)
    blocks = [block for level in levels for block in blocks_of(source.shape, level, side, region)]
    return Plan(levels, blocks, searched)


def find_masks(
    model: Inter2Former,
    source: ImageSource,
    blocks: list[Block],
    settings: EverythingSettings,
    parts: Parts,
    cancel: Callable[[], None] = lambda: None,
) -> Iterator[int]:
    """Search all blocks that are not done yet, and yield how many are, from the first on."""
    for part, block in enumerate(blocks):
        yield part
        if not parts.has(part):
            parts.put(part, search_block(model, source, block, settings, cancel))
    yield len(blocks)


def merged(parts: Parts, count: int, settings: EverythingSettings) -> Iterator[list[Mask]]:
    """Yield the masks of each part that remain when all parts are compared."""
    scores = [[mask.score for mask in parts.get(part)] for part in range(count)]
    surviving = surviving_of_parts([len(each) for each in scores], parts.get)
    of_all = [scores[part][i] for part, kept in enumerate(surviving) for i in kept]
    least = least_score(settings, of_all)
    for part, kept in enumerate(surviving):
        masks = parts.get(part) if kept else ()
        yield [masks[i] for i in kept if masks[i].score >= least]


def as_network(model: Any) -> Inter2Former:
    """Return the network of a predictor, of a name or path, or itself."""
    from napari_inter2former.model import Inter2Former

    if isinstance(model, Inter2Former):
        return model
    network = getattr(model, "model", None)
    if isinstance(network, Inter2Former):
        return network
    from napari_inter2former.weights import load_model

    return load_model(model)
