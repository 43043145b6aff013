"""Write labels of any size to a file, tile by tile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_inter2former._labels import OME_AXES, write_tiff
from napari_inter2former.images import ome_attributes, planes_of

if TYPE_CHECKING:
    import os

    from napari_inter2former.images import Spacing

__all__ = ["save_labels", "write_labels"]

AXES = "Q" + OME_AXES


def save_labels(path: str | os.PathLike[str], labels: Any, spacing: Spacing | None = None) -> Path:
    """Write labels as a tiled, compressed TIFF; never more than a tile is in memory.

    Parameters
    ----------
    path : path
        The file; an existing one is replaced once the new one is whole.
    labels : array-like of int, (..., height, width)
        NumPy, zarr, `SparseLabels` or anything that slices alike.
    spacing : mapping, optional
        Distances of pixels by axis (``t``, ``z``, ``y``, ``x``), and their units.

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
    axes = AXES[-len(shape) :] if len(shape) <= len(AXES) else None
    attributes = ome_attributes(spacing or {})
    write_tiff(path, planes_of(labels), shape, labels.dtype, axes=axes, attributes=attributes)
    return path


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a napari Labels layer; what the manifest calls. Of several levels the finest."""
    labels = data if hasattr(data, "ndim") and hasattr(data, "nbytes") else data[0]
    sizes, units = meta.get("scale", ()), meta.get("units", ())
    axes = AXES.lower()[-len(sizes) :]
    spacing = {
        axis: (float(size), str(unit)) for axis, size, unit in zip(axes, sizes, units, strict=False)
    }
    return [str(save_labels(path, labels, spacing))]
