"""From clicks to a label image, and from there to a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former.evaluation.writing import OutputError, write_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_inter2former.evaluation.protocol import SupportsPredict
    from napari_inter2former.prompts import Click

__all__ = ["label_objects", "write_labels"]


def label_objects(
    predictor: SupportsPredict, clicks: Mapping[int, Sequence[Click]], shape: tuple[int, int]
) -> NDArray[np.unsignedinteger[Any]]:
    """Segment every object and put its mask into one label image.

    Objects never overwrite each other: a pixel stays with the first that claims it.

    Parameters
    ----------
    predictor : SupportsPredict
        Its image has been set.
    clicks : mapping of int to sequence of Click
        The clicks of each object, by its number (1 or more).
    shape : tuple of int
        Height and width of the image in pixels.

    Returns
    -------
    ndarray of uint16 or uint32, shape (H, W)
        0 is background; uint32 when a number needs it.

    Raises
    ------
    OutputError
        When a number is too large for a label image.
    """
    largest = max(clicks, default=0)
    if largest > np.iinfo(np.uint32).max:
        raise OutputError(f"The object number {largest} is too large for a label image.")
    small = largest <= np.iinfo(np.uint16).max
    labels = np.zeros(shape, np.uint16 if small else np.uint32)
    for number, of_object in clicks.items():
        mask = predictor.predict(tuple(of_object))
        r0, c0, r1, c1 = mask.box
        part = labels[r0:r1, c0:c1]
        part[mask.data & (part == 0)] = number
    return labels


def write_labels(path: str | Path, labels: NDArray[np.unsignedinteger[Any]]) -> None:
    """Write a label image as compressed TIFF, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file; an existing one is replaced.
    labels : ndarray of uint16 or uint32, shape (H, W)
        The labels.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, labels, compression="zlib", predictor=True, metadata=None)
    write_file(Path(path), buffer.getvalue())
