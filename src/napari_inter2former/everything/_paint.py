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

MEASURED_PIXELS = 1 << 25
"""Objects of a part that lies in a smaller box are measured together."""
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


def paint_parts(labels: Any, parts: Iterable[Sequence[Mask]], after: int = 0) -> ObjectTable:
    """Paint masks into labels that are 0, part by part, and measure them.

    Parameters
    ----------
    labels : array of int, (height, width)
        Anything that slices like NumPy's, in memory or not: only the boxes of masks are touched.
    parts : iterable of sequences of Mask
        Better ones first within a part: the pixels that masks share go to the first.
    after : int
        The number that the labels come after.

    Returns
    -------
    dict of str to array
        See `Everything.table`. Labels are numbered from ``after + 1`` without a gap.
    """
    tables: list[ObjectTable] = []
    number = after
    for masks in parts:
        painted: dict[int, Mask] = {}
        for mask in masks:
            # A mask that others cover whole leaves nothing, and takes no number.
            if paint(labels, mask, number + 1) < mask.area:
                number += 1
                painted[number] = mask
        tables += _measured(labels, painted)
    if not tables:
        return {name: np.zeros(0) for name in COLUMNS}
    return {name: np.concatenate([t[name] for t in tables]) for name in COLUMNS}


def _measured(labels: Any, painted: dict[int, Mask]) -> list[ObjectTable]:
    """Measure objects that were painted just now: all at once, unless they lie far apart."""
    if not painted:
        return []
    boxes = np.array([mask.box for mask in painted.values()])
    r0, c0 = (int(n) for n in boxes[:, :2].min(axis=0))
    r1, c1 = (int(n) for n in boxes[:, 2:].max(axis=0))
    if (r1 - r0) * (c1 - c0) > MEASURED_PIXELS and len(painted) > 1:
        return [t for n, mask in painted.items() for t in _measured(labels, {n: mask})]
    # Small numbers, for scikit-image looks for all up to the largest.
    first, last = min(painted), max(painted)
    part = np.array(labels[r0:r1, c0:c1]) - (first - 1)
    part[(part < 0) | (part > last - first + 1)] = 0
    scores = {n - first + 1: mask.score for n, mask in painted.items()}
    table = measure_objects(part, scores, (r0, c0))
    table["label"] = table["label"] + (first - 1)
    return [table]


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
    area = table["area"]
    for axis in (0, 1):
        for name in (f"bbox-{axis}", f"bbox-{axis + 2}"):
            table[name] = table[name] + origin[axis]
        # Through the sum, a whole number: rounded once, so that the origin changes no digit.
        total = np.rint(table[f"centroid-{axis}"] * area) + area * origin[axis]
        table[f"centroid-{axis}"] = total / area
    table["score"] = np.array([scores[int(label)] for label in table["label"]])
    return {name: table[name] for name in COLUMNS}
