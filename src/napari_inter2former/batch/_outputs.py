"""Labels and tables as files: tiled OME-TIFF or OME-Zarr, and CSV."""

from __future__ import annotations

import importlib
import json
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inter2former._files import OutputError, replacing, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["FORMATS", "read_provenance", "write_labels", "write_table"]

FORMATS = {"tiff": ".ome.tif", "zarr": ".ome.zarr"}
"""Formats of labels, and how their file names end."""
TILE = 512
PROVENANCE = "inter2former"


def write_labels(path: Path, labels: Any, provenance: Mapping[str, Any]) -> None:
    """Write labels of any size, whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        Ends in ``.tif`` or ``.zarr``; what is there is replaced.
    labels : array of int32, (height, width)
        In memory or on disk; read tile by tile.
    provenance : mapping
        What they were made from, in plain values; kept in the file.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    write = _write_zarr if path.suffix == ".zarr" else _write_tiff
    try:
        write(path, labels, dict(provenance))
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: the labels could not be written ({reason}).") from error


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Return what labels were made from; None if there are none or they don't say."""
    try:
        if path.suffix == ".zarr":
            text = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
            return dict(text["attributes"][PROVENANCE])
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


def write_table(path: Path, table: Mapping[str, Any]) -> None:
    """Write a table of objects as CSV, whole or not at all.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    rows = zip(*table.values(), strict=True)
    write_csv(path, table, ([_number(value) for value in row] for row in rows))


def _number(value: Any) -> str:
    return f"{float(value):.6g}" if float(value) != int(value) else str(int(value))


def _tiles(labels: Any) -> Iterator[Any]:
    """Tiles in the order of a TIFF file; those at the far edges are filled up."""
    height, width = labels.shape
    for row in range(0, height, TILE):
        for column in range(0, width, TILE):
            tile = np.zeros((TILE, TILE), np.int32)
            part = labels[row : row + TILE, column : column + TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


def _write_tiff(path: Path, labels: Any, provenance: dict[str, Any]) -> None:
    import tifffile

    metadata = {"axes": "YX", "Description": json.dumps({PROVENANCE: provenance})}
    with replacing(path) as part:
        tifffile.imwrite(
            part,
            _tiles(labels),
            shape=labels.shape,
            dtype=np.int32,
            tile=(TILE, TILE),
            compression="zlib",
            ome=True,
            bigtiff=labels.shape[0] * labels.shape[1] > 1 << 29,
            metadata=metadata,
        )


def _write_zarr(path: Path, labels: Any, provenance: dict[str, Any]) -> None:
    try:
        zarr = importlib.import_module("zarr")
    except ImportError as error:
        raise OutputError(
            f'{path}: writing zarr needs a package: pip install "napari-inter2former[files]".'
        ) from error
    beside = path.with_name(f".{path.name}.part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        group = zarr.create_group(beside, zarr_format=3)
        array = group.create_array(
            "0",
            shape=labels.shape,
            dtype="int32",
            chunks=(TILE, TILE),
            dimension_names=("y", "x"),
            # A chunk that isn't there looks like one that got lost.
            config={"write_empty_chunks": True},
        )
        for row in range(0, labels.shape[0], TILE):
            array[row : row + TILE] = labels[row : row + TILE]
        group.attrs["ome"] = _ome_metadata(path.name)
        group.attrs[PROVENANCE] = provenance
        if path.exists():
            shutil.rmtree(path)
        beside.rename(path)
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(beside, ignore_errors=True)
        raise


def _ome_metadata(name: str) -> dict[str, Any]:
    """Metadata of OME-Zarr 0.5 for one level of labels."""
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": name.split(".")[0],
                "axes": [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}],
                "datasets": [{"path": "0", "coordinateTransformations": scale}],
            }
        ],
        "image-label": {},
    }
