"""Labels as OME-Zarr 0.5, with a pyramid."""

from __future__ import annotations

import shutil
from contextlib import suppress
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inter2former._files import OutputError
from napari_inter2former._labels import TILE
from napari_inter2former.images._ome_zarr import EXTRA, find_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from napari_inter2former.batch._layout import Layout
    from napari_inter2former.images import Spacing

__all__ = ["write_zarr"]

ORDER = "tzyx"
"""What OME-Zarr prescribes."""
SMALL = 1024
"""Levels are halved until no side is longer, so that a viewer gets an overview at once."""
STRIP = 16 * TILE
"""Columns copied at once: zarr writes their chunks side by side, and memory stays bounded."""


def write_zarr(
    path: Path,
    planes: Iterable[Any],
    layout: Layout,
    attributes: dict[str, Any],
    check: Callable[[], None],
) -> None:
    """Write labels that come plane by plane; see `napari_inter2former.batch._outputs.write_planes`.

    Each level has every second row and column of the one before (nearest neighbour): labels can't
    be averaged.
    """
    order = [layout.axes.index(axis) for axis in ORDER if axis in layout.axes]
    beside = path.with_name(f".{path.name}.part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        group = _library(path).create_group(beside, zarr_format=3)
        names = [layout.axes[i] for i in order]
        levels = _create_levels(group, [layout.shape[i] for i in order], names, layout.dtype)
        for place, plane in zip(np.ndindex(*layout.shape[:-2]), planes, strict=True):
            at = tuple(place[i] for i in order[:-2])
            _copy(plane, (), 1, levels[0], at)
            for fine, coarse in pairwise(levels):
                _copy(fine, at, 2, coarse, at)
        group.attrs["ome"] = _ome_metadata(path.name, names, layout.spacing, len(levels))
        group.attrs.update(attributes)
        check()
        if path.exists():
            shutil.rmtree(path)
        beside.rename(path)
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(beside, ignore_errors=True)
        raise


def _library(path: Path) -> Any:
    zarr = find_zarr()
    if zarr is None:
        raise OutputError(f"{path}: writing zarr needs zarr 3 or newer: {EXTRA}.")
    return zarr


def _create_levels(group: Any, shape: list[int], names: list[str], dtype: str) -> list[Any]:
    levels: list[Any] = []
    while not levels or max(levels[-1].shape[-2:]) > SMALL:
        if levels:
            shape = [*shape[:-2], *(-(-n // 2) for n in shape[-2:])]
        levels.append(
            group.create_array(
                str(len(levels)),
                shape=shape,
                dtype=dtype,
                chunks=(*(1 for _ in shape[:-2]), TILE, TILE),
                dimension_names=names,
                # A chunk that isn't there looks like one that got lost.
                config={"write_empty_chunks": True},
            )
        )
    return levels


def _copy(
    fine: Any, fine_at: tuple[int, ...], step: int, coarse: Any, coarse_at: tuple[int, ...]
) -> None:
    """Copy a plane, or every `step`-th row and column of it, in parts of whole chunks."""
    height, width = coarse.shape[-2:]
    for row, column in product(range(0, height, TILE), range(0, width, STRIP)):
        rows, columns = slice(row, row + TILE), slice(column, column + STRIP)
        there = (slice(part.start * step, part.stop * step, step) for part in (rows, columns))
        coarse[(*coarse_at, rows, columns)] = fine[(*fine_at, *there)]


def _ome_metadata(name: str, axes: list[str], spacing: Spacing, levels: int) -> dict[str, Any]:
    """Metadata of OME-Zarr 0.5 for labels.

    A pixel of a coarser level holds what lies at its first pixel, so a scale is all it takes.
    """
    steps = {axis: spacing.get(axis, (1.0, "")) for axis in axes}
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
                        "coordinateTransformations": [
                            {
                                "type": "scale",
                                "scale": [
                                    steps[axis][0] * (2.0**level if axis in "yx" else 1.0)
                                    for axis in axes
                                ],
                            }
                        ],
                    }
                    for level in range(levels)
                ],
            }
        ],
        "image-label": {},
    }


def _axis(name: str, unit: str) -> dict[str, str]:
    axis = {"name": name, "type": "time" if name == "t" else "space"}
    return {**axis, "unit": unit} if unit else axis
