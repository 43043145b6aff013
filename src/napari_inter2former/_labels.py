"""Label images as files."""

from __future__ import annotations

import math
import zlib
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_inter2former._disk_blocks import labels_on_disk
from napari_inter2former._files import OutputError, beside, replacing
from napari_inter2former._sparse import holds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    import numpy.typing as npt
    from numpy.typing import NDArray

    from napari_inter2former._sparse import SparseLabels

    Place = tuple[Any, tuple[int, ...]]
    """An array, and where in it a plane lies."""

__all__ = ["OME_AXES", "TILE", "halved", "write_labels", "write_tiff"]

OME_AXES = "TZYX"
"""In the order in which labels without names of axes have them."""

TILE = 512
"""Side of the tiles of large labels in pixels."""

LARGE = 4096
"""TIFFs of labels with a longer side have a pyramid."""

SMALL = 1024
"""The levels of a pyramid are halved until no side is longer: an overview at once for viewers."""


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
    """Write labels as a tiled, compressed TIFF, whole or not at all; a few tiles are in memory.

    Large ones (`LARGE`) have a pyramid as slides have it, in SubIFDs: each level has every second
    row and column of the one before (nearest neighbour), since labels can't be averaged.

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
    stack, sizes = tuple(shape[:-2]), [(shape[-2], shape[-1])]
    count = math.prod(stack)
    # Without OME's metadata tifffile takes the levels of a stack for images of their own.
    if max(sizes[0]) > LARGE and native.kind in "iu" and (ome or count == 1):
        sizes += halved(*sizes[0])
    how: dict[str, Any] = {
        "dtype": native,
        "tile": (TILE, TILE),
        "compression": "zlib",
        "photometric": "minisblack",
        "metadata": {"axes": axes, **(attributes or {})} if axes else {},
    }
    try:
        with replacing(path) as part:
            big = math.prod(shape) * native.itemsize > 1 << 31
            with tifffile.TiffWriter(part, bigtiff=big, ome=ome) as file, ExitStack() as kept:
                places: Iterable[Place] = ((plane, ()) for plane in planes)
                for level, size in enumerate(sizes):
                    below = None
                    if level + 1 < len(sizes):
                        scratch, next_size = beside(path, "raw"), sizes[level + 1]
                        below = kept.enter_context(
                            labels_on_disk(scratch, (count, *next_size), native)
                        )
                    file.write(
                        _compressed(places, size, native, below),
                        shape=(*stack, *size),
                        subifds=None if level else len(sizes) - 1,
                        subfiletype=int(level > 0),
                        **how,
                    )
                    places = [(below, (number,)) for number in range(count)]
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


def halved(height: int, width: int) -> list[tuple[int, int]]:
    """Return height and width of the coarser levels of a pyramid; there may be none."""
    sizes = [(height, width)]
    while max(sizes[-1]) > SMALL:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes[1:]


def _compressed(
    places: Iterable[Place],
    size: tuple[int, int],
    dtype: np.dtype[Any],
    below: SparseLabels | None,
) -> Iterator[bytes]:
    """Compress planes tile by tile, in the order of a TIFF file, and note the next level's."""
    height, width = size
    # Most of a slide's tiles are empty, and all of these are alike.
    empty = zlib.compress(bytes(TILE * TILE * dtype.itemsize))
    for number, (array, at) in enumerate(places):
        for row, column in product(range(0, height, TILE), range(0, width, TILE)):
            ends = min(row + TILE, height), min(column + TILE, width)
            box = (*at, slice(row, ends[0]), slice(column, ends[1]))
            part = np.asarray(array[box]).astype(dtype, copy=False) if holds(array, box) else None
            if part is None or not part.any():
                yield empty
                continue
            tile = np.zeros((TILE, TILE), dtype)
            tile[: part.shape[0], : part.shape[1]] = part
            if below is not None:
                half = part[::2, ::2]
                r, c = row // 2, column // 2
                below[number, r : r + half.shape[0], c : c + half.shape[1]] = half
            yield zlib.compress(tile.data)
