"""Label images that are not stored as one number per object."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from napari_inter2former.errors import ImageError
from napari_inter2former.evaluation.reading import read_labels
from napari_inter2former.images import read_image

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

__all__ = [
    "read_any_mask",
    "read_bright",
    "read_colours",
    "read_components",
    "read_nonzero",
    "read_one_object",
]


def read_one(path: Path, above: int) -> NDArray[np.uint8]:
    """Read a mask of one object: 1 where any channel is above a value, alpha left aside."""
    data = read_image(path)
    if data.ndim == 3:
        data = data[..., :3].max(axis=-1)
    if data.ndim != 2 or data.dtype.kind not in "bui":
        raise ImageError(f"{path}: not a mask of one plane ({data.dtype}, shape {data.shape}).")
    return (data > above).astype(np.uint8)


read_bright = partial(read_one, above=127)
"""Read a mask of one object whose soft edges are cut in the middle."""

read_nonzero = partial(read_one, above=0)
"""Read a mask of one object of which every pixel but 0 is part."""


def read_components(path: Path) -> NDArray[np.int32]:
    """Read a mask whose pieces (4-connected) are the objects."""
    return np.asarray(cv2.connectedComponents(read_one(path, 0), connectivity=4)[1], np.int32)


def read_colours(path: Path) -> NDArray[np.int32]:
    """Read a picture that shows every object in a colour of its own, black for background."""
    data = read_image(path)
    if data.ndim == 2:
        return read_labels(path).astype(np.int32)
    if data.shape[-1] not in (3, 4) or data.dtype != np.uint8:
        raise ImageError(f"{path}: colours of 8 bits are needed ({data.dtype}, {data.shape}).")
    red, green, blue = (data[..., channel].astype(np.int32) for channel in range(3))
    colours, numbers = np.unique((red << 16) + (green << 8) + blue, return_inverse=True)
    # Numbers count from black, wherever there is none too.
    first = 0 if colours[0] == 0 else 1
    return (numbers.reshape(data.shape[:2]) + first).astype(np.int32)


def read_one_object(path: Path) -> NDArray[np.integer[Any]]:
    """Read a mask of one object, its edges soft or not; or labels, if it can't be such a mask.

    Of several numbers in one plane, the largest that the type holds is the inside of a soft mask.
    """
    data = read_image(path)
    if data.ndim == 2 and data.dtype.kind in "ui":
        several = (data[data > 0] != data.max()).any()
        if several and data.max() < np.iinfo(data.dtype).max:
            return read_labels(path)
    return read_nonzero(path)


def read_any_mask(path: Path) -> NDArray[np.integer[Any]]:
    """Read labels, or, from a file of a single number beside 0, its pieces (8-connected)."""
    labels = read_labels(path)
    mask = (labels > 0).astype(np.uint8)
    if not mask.any() or (labels != labels.max() * mask).any():
        return labels
    return np.asarray(cv2.connectedComponents(mask, connectivity=8)[1], np.int32)
