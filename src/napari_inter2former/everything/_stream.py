"""Everything mode for images of any size: labels go to disk, and an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari_inter2former._disk_blocks import labels_on_disk
from napari_inter2former.everything._paint import paint_parts
from napari_inter2former.everything._parts import FolderParts
from napari_inter2former.everything._run import (
    as_network,
    find_masks,
    merged,
    plan_blocks,
)
from napari_inter2former.everything._settings import EverythingSettings
from napari_inter2former.images import as_image_source
from napari_inter2former.predictor import weights_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_inter2former._sparse import SparseLabels
    from napari_inter2former.everything._blocks import Block
    from napari_inter2former.everything._paint import ObjectTable
    from napari_inter2former.images import ImageSource
    from napari_inter2former.model import Inter2Former

__all__ = [
    "image_digest",
    "painted",
    "prepare_everything",
    "search_everything",
    "stream_everything",
]

WORK_SUFFIX = ".parts"
SAMPLE_SIDE = 512


def image_digest(source: ImageSource) -> str:
    """Hash what tells an image from another: shape, channels, contrast, a sample of its pixels."""
    digest = hashlib.blake2b(repr((source.shape, source.rendering)).encode(), digest_size=16)
    height, width = source.shape
    for part in (0.0, 0.5, 1.0):
        row = int(max(height - SAMPLE_SIDE, 0) * part)
        column = int(max(width - SAMPLE_SIDE, 0) * part)
        size = min(SAMPLE_SIDE, height), min(SAMPLE_SIDE, width)
        digest.update(source.read(row, column, *size, 0).tobytes())
    return digest.hexdigest()


def stream_everything(
    image: Any,
    write: Callable[[SparseLabels, ObjectTable], None],
    work: Path,
    model: Any = "tiny",
    *,
    settings: EverythingSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
    **how: Any,
) -> ObjectTable:
    """Find and segment all objects of an image plane, without holding its labels in memory.

    Parameters
    ----------
    image, model, settings, progress
        See `segment_everything`.
    write : callable
        Gets the labels (an array on disk that slices like NumPy's) and the table when all is
        done.
    work : pathlib.Path
        Folder for what is found until then. When a run is interrupted, the next one with the
        same image, weights and settings goes on from it, and gives the same labels. It is
        deleted after `write`.
    **how
        ``channel_axis``, ``rgb``, ``normalization`` as for `segment_everything`.

    Returns
    -------
    dict of str to array
        See `Everything.table`.

    Raises
    ------
    OutputError
        If the folder can't be written.
    """
    source = as_image_source(image, **how)
    plan, parts = search_everything(source, as_network(model), settings, work, progress)
    with painted(source.shape, parts, len(plan), settings) as (labels, table):
        write(labels, table)
    parts.remove()
    return table


def search_everything(
    source: ImageSource,
    network: Inter2Former,
    settings: EverythingSettings | None,
    work: Path,
    progress: Callable[[int, int], None] | None = None,
    state: Any = None,
) -> tuple[list[Block], FolderParts]:
    """Search all blocks that are not done yet; return them and their folder.

    Parameters
    ----------
    source, network, settings, work, progress
        See `stream_everything`.
    state
        See `prepare_everything`.

    Raises
    ------
    OutputError
        If the folder can't be written.
    """
    settings = settings or EverythingSettings()
    plan, parts = prepare_everything(network, source, settings, work, state)
    cancel = (lambda: progress(0, 0)) if progress is not None else (lambda: None)
    for done in find_masks(network, source, plan, settings, parts, cancel):
        if progress is not None:
            progress(done, len(plan))
    return plan, parts


def prepare_everything(
    model: Inter2Former,
    source: ImageSource,
    settings: EverythingSettings,
    work: Path,
    state: Any = None,
) -> tuple[list[Block], FolderParts]:
    """Choose the zooms, or read which were chosen, and return the blocks and their folder.

    Parameters
    ----------
    model, source, settings, work
        See `stream_everything`.
    state
        What else tells this image from another, in plain values: of the image itself only a sample
        is compared with what an interrupted run began with.
    """
    key = {
        "image": image_digest(source),
        "weights": weights_key(model),
        "settings": asdict(settings),
        "state": state,
    }
    plan = plan_blocks(model, source, settings, _levels_before(work, key))
    parts = FolderParts(work, {"key": key, "levels": plan.levels})
    plan.keep(parts)
    return plan.blocks, parts


@contextmanager
def painted(
    shape: tuple[int, int],
    parts: FolderParts,
    count: int,
    settings: EverythingSettings | None,
    after: int = 0,
) -> Iterator[tuple[SparseLabels, ObjectTable]]:
    """Merge and paint all parts.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    parts : FolderParts
        All blocks.
    count : int
        Their number.
    settings : EverythingSettings, optional
        With which they were searched.
    after : int
        The number that the labels come after.

    Yields
    ------
    labels : SparseLabels
        On disk until the block ends.
    table : dict of str to array
        See `Everything.table`.
    """
    with labels_on_disk(parts.folder / "labels.raw", shape) as labels:
        masks = merged(parts, count, settings or EverythingSettings())
        yield labels, paint_parts(labels, masks, after)


def _levels_before(work: Path, key: dict[str, Any]) -> list[int] | None:
    try:
        plan = json.loads((work / "plan.json").read_text(encoding="utf-8"))
        if plan["key"] == json.loads(json.dumps(key)):
            return [int(level) for level in plan["levels"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None
