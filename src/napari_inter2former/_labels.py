"""Label images as files."""

from __future__ import annotations

import math
import zlib
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former._files import OutputError, replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    import numpy.typing as npt
    from numpy.typing import NDArray

__all__ = ["OME_AXES", "TILE", "tiles", "write_labels", "write_tiff"]

OME_AXES = "TZYX"
"""In the order in which labels without names of axes have them."""

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


def write_tiff(
    path: Path,
    planes: Iterable[Any],
    shape: Sequence[int],
    dtype: npt.DTypeLike,
    *,
    axes: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write labels as a tiled, compressed TIFF, whole or not at all; one tile is in memory.

    Parameters
    ----------
    path : pathlib.Path
        The file; an existing one is replaced once the new one is whole. Missing folders are made.
    planes : iterable of array-like of int, (height, width)
        Anything that slices like NumPy's. In order, the last axis before rows and columns counting
        fastest; each is asked for once, and not used any more when the next one is.
    shape : sequence of int
        Of all planes together.
    dtype : NumPy data type
        In which the numbers are stored; they must fit.
    axes : str, optional
        A letter for each axis. Of T, Z, Y and X an OME-TIFF is made, of numbers up to 32 bits.
    attributes : mapping, optional
        Of OME-TIFF: pixel sizes, for one.
    check : callable
        Called before what is there is replaced; what it raises leaves that as it is.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    import tifffile

    native = np.dtype(dtype).newbyteorder("=")
    # OME-TIFF knows no other axes, and no numbers of 64 bits.
    ome = axes is not None and set(axes) <= set(OME_AXES) and native.itemsize <= 4
    try:
        with replacing(path) as part:
            tifffile.imwrite(
                part,
                _compressed(chain.from_iterable(map(tiles, planes)), native),
                shape=tuple(shape),
                dtype=native,
                tile=(TILE, TILE),
                compression="zlib",
                photometric="minisblack",
                ome=ome,
                bigtiff=math.prod(shape) > 1 << 29,
                metadata={"axes": axes, **(attributes or {})} if axes else None,
            )
            check()
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: the labels could not be written ({reason}).") from error


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
    small = int(labels.max(initial=0)) <= np.iinfo(np.uint16).max
    write_tiff(Path(path), [labels], labels.shape, np.uint16 if small else np.uint32, axes="YX")


def _compressed(parts: Iterable[NDArray[Any]], dtype: np.dtype[Any]) -> Iterator[bytes]:
    """Compress tiles; most of a slide's are empty, and all of these are alike."""
    empty = zlib.compress(bytes(TILE * TILE * dtype.itemsize))
    for part in parts:
        yield zlib.compress(part.astype(dtype, copy=False).data) if part.any() else empty
