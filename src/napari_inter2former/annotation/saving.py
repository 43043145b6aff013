"""Write labels of any size to a file, tile by tile."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_inter2former._files import OutputError, replacing
from napari_inter2former._labels import TILE, tiles
from napari_inter2former.images import planes_of

if TYPE_CHECKING:
    import os

__all__ = ["save_labels", "write_labels"]

AXES = "QTZYX"


def save_labels(path: str | os.PathLike[str], labels: Any) -> Path:
    """Write labels as a tiled, compressed TIFF; never more than a tile is in memory.

    Parameters
    ----------
    path : path
        The file; an existing one is replaced once the new one is whole.
    labels : array-like of int, (..., height, width)
        NumPy, zarr, `SparseLabels` or anything that slices alike.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    path = Path(path)
    shape = tuple(int(n) for n in labels.shape)
    try:
        with replacing(path) as part, tifffile.TiffWriter(part, bigtiff=True) as writer:
            writer.write(
                itertools.chain.from_iterable(map(tiles, planes_of(labels))),
                shape=shape,
                dtype=np.dtype(labels.dtype),
                tile=(TILE, TILE),
                compression="zlib",
                photometric="minisblack",
                metadata={"axes": AXES[-len(shape) :]} if len(shape) <= len(AXES) else None,
            )
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: the labels could not be written ({reason}).") from error
    return path


def write_labels(path: str, data: Any, _meta: dict[str, Any]) -> list[str]:
    """Write a napari Labels layer; what the manifest calls. Of several levels the finest."""
    labels = data if hasattr(data, "ndim") and hasattr(data, "nbytes") else data[0]
    return [str(save_labels(path, labels))]
