"""From masks to labels and a table of objects, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_inter2former.scripting import paint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_inter2former.predictor import Mask

__all__ = ["COLUMNS", "ObjectTable", "measure_objects", "paint_parts"]

ObjectTable: TypeAlias = dict[str, npt.NDArray[Any]]

MEASURED = ("label", "area", "centroid", "bbox")
COLUMNS = (
    "label",
    "area",
    "centroid-0",
    "centroid-1",
    "bbox-0",
    "bbox-1",
    "bbox-2",
    "bbox-3",
    "score",
)


def paint_parts(labels: Any, parts: Iterable[Sequence[Mask]]) -> ObjectTable:
    """Paint masks into labels that are 0, part by part, and measure them.

    Parameters
    ----------
    labels : array of int, (height, width)
        Anything that slices like NumPy's, in memory or not: only the boxes of masks are touched.
    parts : iterable of sequences of Mask
        Better ones first within a part: the pixels that masks share go to the first.

    Returns
    -------
    dict of str to array
        See `Everything.table`. Labels are numbered from 1 without a gap.
    """
    tables: list[ObjectTable] = []
    number = 0
    for masks in parts:
        for mask in masks:
            part = np.array(labels[mask.slices])
            before = part != 0
            # A mask that others cover whole leaves nothing, and takes no number.
            if not (mask.data & ~before).any():
                continue
            number += 1
            whole = (0, 0, *part.shape)
            paint(part, _moved(mask, whole), number)
            labels[mask.slices] = part
            own = np.where(part == number, number, 0)
            table = measure_objects(own, {number: mask.score}, mask.box[:2])
            tables.append(table)
    if not tables:
        return {name: np.zeros(0) for name in COLUMNS}
    return {name: np.concatenate([t[name] for t in tables]) for name in COLUMNS}


def measure_objects(
    labels: npt.NDArray[Any], scores: dict[int, float], origin: tuple[int, int] = (0, 0)
) -> ObjectTable:
    """Measure the objects of labels with scikit-image.

    Parameters
    ----------
    labels : array of int, (height, width)
        A part of an image or all of it.
    scores : dict of int to float
        By label.
    origin : tuple of int
        Where the part's first pixel lies in the image.
    """
    from skimage.measure import regionprops_table

    table: ObjectTable = dict(regionprops_table(labels, properties=MEASURED))
    if not table or not len(table["label"]):
        return {name: np.zeros(0) for name in COLUMNS}
    for axis in (0, 1):
        for name in (f"centroid-{axis}", f"bbox-{axis}", f"bbox-{axis + 2}"):
            table[name] = table[name] + origin[axis]
    table["score"] = np.array([scores[int(label)] for label in table["label"]])
    return {name: table[name] for name in COLUMNS}


def _moved(mask: Mask, box: tuple[int, int, int, int]) -> Mask:
    from dataclasses import replace

    return replace(mask, box=box)
