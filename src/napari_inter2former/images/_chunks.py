"""Say it when chunks of a zarr array are missing."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.images._lazy import LazyPlane

__all__ = ["LEFT_OUT", "say_missing_chunks"]

LEFT_OUT = "empty_chunks_left_out"
"""Attribute of arrays, such as labels, whose empty chunks are not stored on purpose."""

MOST_CHUNKS = 200_000
"""Chunks of an array are counted up to this number; counting lists a folder."""
LISTED_QUICKLY = {
    "DirectoryStore",
    "LocalStore",
    "MemoryStore",
    "NestedDirectoryStore",
    "ZipStore",
}


def say_missing_chunks(array: Any, pixels: npt.NDArray[Any]) -> bool:
    """Warn if a zarr array lacks chunks, once something was read that may come from one.

    Parameters
    ----------
    array : array-like
        What was read.
    pixels : array
        What came back.

    Returns
    -------
    bool
        Whether the question is settled, and need not be asked again of this image.
    """
    while isinstance(array, LazyPlane):
        array = array.array
    # Asked of the class: the array itself would count its chunks to answer.
    if not hasattr(type(array), "nchunks_initialized") or not hasattr(array, "fill_value"):
        return True  # no zarr array
    store = type(getattr(array, "store", None)).__name__
    if store not in LISTED_QUICKLY or array.nchunks > MOST_CHUNKS or array.attrs.get(LEFT_OUT):
        return True
    fill = 0 if array.fill_value is None else array.fill_value
    if not np.any(pixels == fill):
        return False
    missing = array.nchunks - array.nchunks_initialized
    if missing > 0:
        # The reader's line says nothing to a user, so the stack level is of no importance.
        warnings.warn(
            f"{missing} of the {array.nchunks} chunks of the zarr array "
            f"{getattr(array, 'name', None) or ''} are not stored; they are read as its fill "
            f"value, {fill}. If the image should be complete, copy or convert it again.".replace(
                "  ", " "
            ),
            UserWarning,
            stacklevel=2,
        )
    return True
