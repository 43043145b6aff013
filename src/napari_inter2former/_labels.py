"""Label images as files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former._files import write_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["TILE", "tiles", "write_labels"]

TILE = 512
"""Side of the tiles of large labels in pixels."""


def tiles(plane: Any) -> Iterator[NDArray[Any]]:
    """Read a plane tile by tile, in the order of a TIFF file.

    Parameters
    ----------
    plane : array-like of int, (height, width)
        Anything that slices like NumPy's.

    Yields
    ------
    array, (TILE, TILE)
        Of the plane's type; those at the far edges are filled up with zeros.
    """
    height, width = plane.shape
    for row in range(0, height, TILE):
        for column in range(0, width, TILE):
            rows = slice(row, min(row + TILE, height))
            part = np.asarray(plane[rows, column : min(column + TILE, width)])
            tile = np.zeros((TILE, TILE), plane.dtype)
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


def write_labels(path: str | Path, labels: NDArray[np.integer[Any]]) -> None:
    """Write a label image as compressed TIFF, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file; an existing one is replaced. Missing folders are made.
    labels : ndarray of an integer type, shape (H, W)
        The labels, none negative. They are written as uint16, or as uint32 when a number needs it.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    import tifffile

    small = int(labels.max(initial=0)) <= np.iinfo(np.uint16).max
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, labels.astype(np.uint16 if small else np.uint32), compression="zlib", metadata=None
    )
    write_file(Path(path), buffer.getvalue())
