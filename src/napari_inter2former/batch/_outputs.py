"""Labels and tables as files: tiled OME-TIFF or OME-Zarr, and CSV."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_inter2former._files import OutputError, write_csv
from napari_inter2former._labels import write_tiff
from napari_inter2former.batch._layout import Layout
from napari_inter2former.batch._zarr import CONTENTS, contents_of, write_zarr
from napari_inter2former.images import ome_attributes, planes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

__all__ = [
    "FORMATS",
    "is_unchanged",
    "read_provenance",
    "write_labels",
    "write_planes",
    "write_table",
]

FORMATS = {"tiff": ".ome.tif", "zarr": ".ome.zarr"}
"""Formats of labels, and how their file names end."""
PROVENANCE = "inter2former"
AXES = "tzyx"


def write_labels(
    path: Path, labels: Any, provenance: Mapping[str, Any], axes: str | None = None
) -> None:
    """Write labels of any size, whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        Ends in ``.tif`` or ``.zarr``; what is there is replaced.
    labels : array of int32, (height, width), (z, height, width) or (t, z, height, width)
        In memory or on disk; read tile by tile.
    provenance : mapping
        What they were made from, in plain values; kept in the file.
    axes : str, optional
        A letter for each axis, if they are others: ``"tyx"``.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    shape = tuple(labels.shape)
    layout = Layout(axes or AXES[-len(shape) :], shape)
    write_planes(path, planes_of(labels), layout, provenance)


def write_planes(
    path: Path,
    planes: Iterable[Any],
    layout: Layout,
    provenance: Mapping[str, Any],
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write labels that come plane by plane, whole or not at all.

    Parameters
    ----------
    path, planes, check
        See `write_tiff`.
    layout : Layout
        Shape, axes and type of all labels.
    provenance : mapping
        See `write_labels`.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    write = write_zarr if _is_zarr(path) else _write_tiff
    try:
        write(path, planes, layout, {PROVENANCE: dict(provenance)}, check)
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: the labels could not be written ({reason}).") from error


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Return what labels were made from; None if there are none or they don't say."""
    try:
        if _is_zarr(path):
            return dict(_attributes(path)[PROVENANCE])
        import tifffile

        with tifffile.TiffFile(path) as file:
            from xml.etree import ElementTree as ET

            root = ET.fromstring(file.ome_metadata or "<OME/>")
            for node in root.iter():
                if node.tag.endswith("}Description") and node.text:
                    return dict(json.loads(node.text)[PROVENANCE])
    except Exception:  # noqa: BLE001  # a damaged file is written again
        return None
    return None


def is_unchanged(path: Path) -> bool:
    """Whether labels are those that were written here, without corrections made since.

    Other programs write a TIFF anew, without its provenance, but a zarr chunk by chunk.
    """
    if read_provenance(path) is None:
        return False
    try:
        return not _is_zarr(path) or bool(_attributes(path).get(CONTENTS) == contents_of(path))
    except OSError:
        return False


def write_table(path: Path, table: Mapping[str, Any]) -> None:
    """Write a table of objects as CSV, whole or not at all.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    rows = zip(*table.values(), strict=True)
    write_csv(path, table, ([_number(value) for value in row] for row in rows))


def _is_zarr(path: Path) -> bool:
    return path.suffix.lower() == ".zarr"


def _attributes(path: Path) -> dict[str, Any]:
    attributes: dict[str, Any] = json.loads((path / "zarr.json").read_text("utf-8"))["attributes"]
    return attributes


def _number(value: Any) -> str:
    return f"{float(value):.6g}" if float(value) != int(value) else str(int(value))


def _write_tiff(
    path: Path,
    planes: Iterable[Any],
    layout: Layout,
    attributes: dict[str, Any],
    check: Callable[[], None],
) -> None:
    write_tiff(
        path,
        planes,
        layout.shape,
        layout.dtype,
        axes=layout.axes.upper(),
        attributes={"Description": json.dumps(attributes), **ome_attributes(layout.spacing)},
        check=check,
    )
