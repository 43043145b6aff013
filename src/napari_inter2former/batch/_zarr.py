"""Labels as OME-Zarr 0.5, with a pyramid."""

from __future__ import annotations

import hashlib
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_inter2former._files import OutputError, replacing_folder
from napari_inter2former._labels import TILE, halved
from napari_inter2former._sparse import holds
from napari_inter2former.images._chunks import LEFT_OUT
from napari_inter2former.images._levels import whole_ratio
from napari_inter2former.images._ome_zarr import EXTRA, find_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_inter2former.batch._layout import Layout

__all__ = ["CONTENTS", "contents_of", "write_zarr"]

CONTENTS = "inter2former_contents"
"""Attribute with the `contents_of` the labels as they were written."""
ORDER = "tzyx"
"""What OME-Zarr prescribes."""
PIECE = 4 * TILE
"""Side of what is copied at once; levels that are larger have one file (a shard) for as much."""


def write_zarr(
    path: Path,
    planes: Iterable[Any],
    layout: Layout,
    attributes: dict[str, Any],
    check: Callable[[], None],
) -> None:
    """Write labels that come plane by plane; see `napari_inter2former.batch._outputs.write_planes`.

    The levels are those of the image, or else each has every second row and column of the one
    before. They are made by nearest neighbour: labels can't be averaged. What is empty is neither
    read, where the planes know it, nor written.
    """
    order = [layout.axes.index(axis) for axis in ORDER if axis in layout.axes]
    halves = ((*layout.shape[:-2], *size) for size in halved(*layout.shape[-2:]))
    shapes = [layout.shape, *(layout.coarser or halves)]
    shapes = [tuple(shape[i] for i in order) for shape in shapes]
    names = [layout.axes[i] for i in order]
    with replacing_folder(path) as beside:
        group = _library(path).create_group(beside, zarr_format=3)
        levels = [
            _create_level(group, str(number), shape, names, layout.dtype)
            for number, shape in enumerate(shapes)
        ]
        for place, plane in zip(np.ndindex(*layout.shape[:-2]), planes, strict=True):
            at = tuple(place[i] for i in order[:-2])
            filled = _copied(plane, levels[0], at)
            for fine, coarse in pairwise(levels):
                below = _below(at, fine.shape, coarse.shape)
                if below is None:
                    break
                filled = _shrunk(fine, at, coarse, below, filled)
                at = below
        group.attrs["ome"] = _ome_metadata(path.name, names, layout, shapes)
        group.attrs.update({**attributes, CONTENTS: contents_of(beside)})
        check()


def contents_of(folder: Path) -> str:
    """Return a digest of what a group holds, by the names and bytes of the files.

    Labels are small on disk, so they are read as a whole: times of change don't outlive a copy.
    Left out are the group's own metadata, where the digest is kept, and hidden files.
    """
    digest = hashlib.blake2b(digest_size=16)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("[!.]*")}
    for name, path in sorted(files.items()):
        if path.is_file() and name != "zarr.json":
            with path.open("rb") as file:
                digest.update(name.encode() + b"\0" + hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _library(path: Path) -> Any:
    zarr = find_zarr()
    if zarr is None:
        raise OutputError(f"{path}: writing zarr needs zarr 3 or newer: {EXTRA}.")
    return zarr


def _create_level(
    group: Any, name: str, shape: tuple[int, ...], axes: list[str], dtype: str
) -> Any:
    stack = [1 for _ in shape[:-2]]
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=(*stack, TILE, TILE),
        shards=(*stack, PIECE, PIECE) if max(shape[-2:]) > PIECE else None,
        fill_value=0,
        dimension_names=axes,
        attributes={LEFT_OUT: True},
        config={"write_empty_chunks": False},
    )


class _Piece(NamedTuple):
    """A part of a plane that is copied at once: whole shards, or whole chunks."""

    number: tuple[int, int]
    rows: slice
    columns: slice


def _pieces(height: int, width: int) -> Iterator[_Piece]:
    for row in range(0, height, PIECE):
        for column in range(0, width, PIECE):
            rows = slice(row, min(row + PIECE, height))
            yield _Piece(
                (row // PIECE, column // PIECE), rows, slice(column, min(column + PIECE, width))
            )


def _copied(plane: Any, level: Any, at: tuple[int, ...]) -> set[tuple[int, int]]:
    """Copy a plane; return the numbers of the pieces that hold something."""
    filled = set()
    for number, rows, columns in _pieces(*level.shape[-2:]):
        if holds(plane, (rows, columns)):
            part = np.asarray(plane[rows, columns])
            if part.any():
                level[(*at, rows, columns)] = part
                filled.add(number)
    return filled


def _below(
    at: tuple[int, ...], fine: tuple[int, ...], coarse: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Say where a plane of a level lies in the next one; None if it is left out there."""
    below = tuple(i * n // full for i, full, n in zip(at, fine, coarse, strict=False))
    # Of several planes that lie there by `StoredImage.plane`, the first is taken.
    firsts = (-(-j * full // n) for j, full, n in zip(below, fine, coarse, strict=False))
    return below if tuple(firsts) == at else None


def _shrunk(
    fine: Any,
    at: tuple[int, ...],
    coarse: Any,
    below: tuple[int, ...],
    filled: set[tuple[int, int]],
) -> set[tuple[int, int]]:
    """Fill a plane from those pieces of the level before that hold something; return its own."""
    found = set()
    (height, width), (h, w) = fine.shape[-2:], coarse.shape[-2:]
    whole = whole_ratio((height, width), (h, w))
    for number, rows, columns in _pieces(h, w):
        box = _sampled(rows, height, h, whole), _sampled(columns, width, w, whole)
        if filled.isdisjoint(product(*map(_pieces_of, box))):
            continue
        part = fine.oindex[(*at, *box)]
        if part.any():
            coarse[(*below, rows, columns)] = part
            found.add(number)
    return found


def _sampled(part: slice, full: int, size: int, whole: int | None) -> slice | NDArray[np.intp]:
    """Return which rows, or columns, of a level are those of a part of the next one."""
    if whole is not None:
        return slice(part.start * whole, (part.stop - 1) * whole + 1, whole)
    return np.arange(part.start, part.stop) * full // size


def _pieces_of(index: slice | NDArray[np.intp]) -> range:
    """Return the numbers of the pieces, along one axis, in which these rows or columns lie."""
    if isinstance(index, slice):
        return range(index.start // PIECE, (index.stop - 1) // PIECE + 1)
    return range(int(index[0]) // PIECE, int(index[-1]) // PIECE + 1)


def _ome_metadata(
    name: str, axes: list[str], layout: Layout, shapes: Sequence[tuple[int, ...]]
) -> dict[str, Any]:
    """Metadata of OME-Zarr 0.5 for labels.

    A pixel of a coarser level holds what lies at its first pixel, so all begin at one place.
    """
    steps = {axis: layout.spacing.get(axis, (1.0, "")) for axis in axes}
    start = [float(layout.origin.get(axis, 0)) for axis in axes]
    moved = [{"type": "translation", "translation": start}] if any(start) else []
    scales = [[steps[axis][0] for axis in axes]]
    for fine, coarse in pairwise(shapes):
        ratios = _ratios(fine, coarse)
        scales.append([a * ratio for a, ratio in zip(scales[-1], ratios, strict=True)])
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": name.split(".")[0],
                "type": "nearest",
                "axes": [_axis(axis, steps[axis][1]) for axis in axes],
                "datasets": [
                    {
                        "path": str(level),
                        "coordinateTransformations": [{"type": "scale", "scale": scale}, *moved],
                    }
                    for level, scale in enumerate(scales)
                ],
            }
        ],
        "image-label": {},
    }


def _ratios(fine: tuple[int, ...], coarse: tuple[int, ...]) -> list[float]:
    """Return how many pixels of a level a pixel of the next one is, along each axis."""
    plane = whole_ratio(fine[-2:], coarse[-2:])
    pairs = list(zip(fine, coarse, strict=True))
    stack = (whole_ratio((full,), (n,)) or full / n for full, n in pairs[:-2])
    return [*map(float, stack), *(float(plane or full / n) for full, n in pairs[-2:])]


def _axis(name: str, unit: str) -> dict[str, str]:
    axis = {"name": name, "type": "time" if name == "t" else "space"}
    return {**axis, "unit": unit} if unit else axis
