"""Open OME-Zarr images and plain zarr arrays."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from napari_inter2former.errors import ImageError
from napari_inter2former.images._spacing import Spacing
from napari_inter2former.images._stored import StoredImage

__all__ = ["EXTRA", "find_zarr", "open_zarr"]

EXTRA = 'pip install "napari-inter2former[files]"'
LAYOUT = "bioformats2raw.layout"


def find_zarr() -> Any:
    """Return the package zarr; None if there is none that reads and writes OME-Zarr 0.5."""
    try:
        zarr = importlib.import_module("zarr")
    except ImportError:
        return None
    return zarr if hasattr(zarr, "create_group") else None


def open_zarr(path: Path | str, series: int = 0) -> StoredImage:
    """Open an OME-Zarr image or a zarr array; see `napari_inter2former.images.open_image`.

    Parameters
    ----------
    path : path or str
        A folder, zip file or address.
    series : int
        Which image, where there are several.

    Raises
    ------
    ImageError
        If it is no image, or is damaged.
    """
    zarr = find_zarr()
    if zarr is None:
        raise ImageError(f"Reading {path} needs zarr 3 or newer: {EXTRA}.")
    try:
        # zarr takes the name of a zip file for that of a folder.
        zipped = isinstance(path, Path) and path.is_file()
        node = zarr.open(zarr.storage.ZipStore(path) if zipped else str(path), mode="r")
    except Exception as error:  # which kind depends on the store and on zarr's version
        raise ImageError(
            f"{path} can't be opened as zarr ({type(error).__name__}: {error})."
        ) from error
    name = Path(str(path)).name
    if hasattr(node, "shape"):
        return _plain(node, series, name)
    attributes, siblings = dict(node.attrs), False
    if LAYOUT in attributes or LAYOUT in attributes.get("ome", {}):
        siblings = str(series + 1) in node
        node, series = _child(node, str(series), name), 0
        attributes = dict(node.attrs)
    metadata = attributes.get("ome", attributes)
    if "multiscales" not in metadata:
        raise ImageError(_what_instead(node, metadata, name))
    multiscales = _multiscales(metadata, "ome" in attributes, name)
    if not 0 <= series < len(multiscales):
        raise ImageError(f"{name} holds {len(multiscales)} images; series {series} does not exist.")
    chosen = multiscales[series]
    axes = "".join(_letter(axis) for axis in chosen.axes)
    levels = tuple(_child(node, dataset.path, name) for dataset in chosen.datasets)
    if not all(hasattr(level, "shape") for level in levels):
        raise ImageError(f"{name} is damaged: a level of its pyramid is no array.")
    spacing, origin = _placing(chosen, axes)
    return StoredImage(levels, axes, name, spacing, siblings=siblings, origin=origin)


def _plain(array: Any, series: int, name: str) -> StoredImage:
    """Guess the axes of an array that says nothing about them: planes lie at its end."""
    if series:
        raise ImageError(f"{name} is a single array; series {series} does not exist.")
    ndim = len(array.shape)
    names = getattr(getattr(array, "metadata", None), "dimension_names", None)
    if names and all(isinstance(n, str) and len(n) == 1 for n in names):
        return StoredImage((array,), "".join(names).lower(), name)
    if ndim == 3 and array.shape[-1] in (3, 4):
        return StoredImage((array,), "yxs", name)
    if not 2 <= ndim <= 6:
        raise ImageError(f"{name} holds no image plane: its shape is {tuple(array.shape)}.")
    return StoredImage((array,), "ijkl"[: ndim - 2] + "yx", name)


def _multiscales(metadata: dict[str, Any], inside: bool, name: str) -> Any:
    """Validate the metadata; those of version 0.5 lie inside the attribute 'ome'."""
    try:
        version = importlib.import_module(f"yaozarrs.{'v05' if inside else 'v04'}")
    except ImportError as error:
        raise ImageError(f"Reading the OME-Zarr {name} needs yaozarrs: {EXTRA}.") from error
    try:
        return version.Image.model_validate(metadata).multiscales
    except ValueError as error:
        reasons: list[Any] = getattr(error, "errors", list)()
        words = (
            f"{'.'.join(map(str, reasons[0]['loc']))}: {reasons[0]['msg']}" if reasons else error
        )
        raise ImageError(
            f"The OME-Zarr metadata of {name} break the rules of versions 0.4 and 0.5 ({words}). "
            "Images of older versions must be converted first."
        ) from error


def _placing(multiscale: Any, axes: str) -> tuple[Spacing, dict[str, float]]:
    """Return distances of pixels, and where the first one lies."""
    steps = list(multiscale.datasets[0].coordinateTransformations)
    steps += multiscale.coordinateTransformations or []
    sizes, starts = [1.0] * len(axes), [0.0] * len(axes)
    for step in steps:
        if step.type == "scale":
            sizes = [a * b for a, b in zip(sizes, step.scale, strict=True)]
            starts = [a * b for a, b in zip(starts, step.scale, strict=True)]
        elif step.type == "translation":
            starts = [a + b for a, b in zip(starts, step.translation, strict=True)]
    units = [getattr(axis, "unit", None) or "" for axis in multiscale.axes]
    spacing = dict(zip(axes, zip(sizes, units, strict=True), strict=True))
    return spacing, dict(zip(axes, starts, strict=True))


def _letter(axis: Any) -> str:
    """Name an axis by one letter, as TIFF does."""
    if axis.type == "channel":
        return "c"
    if axis.type == "time":
        return "t"
    return str(axis.name)[0].lower()


def _child(node: Any, key: str, name: str) -> Any:
    try:
        return node[key]
    except Exception as error:
        raise ImageError(f"{name} is damaged or incomplete: {key!r} is missing in it.") from error


def _what_instead(node: Any, metadata: dict[str, Any], name: str) -> str:
    if "plate" in metadata:
        return f"{name} is a plate: give one of its fields, such as {name}/A/1/0."
    if "well" in metadata:
        return f"{name} is a well: give one of its fields, such as {name}/0."
    try:
        keys = sorted(node.keys())[:5]
    except Exception:  # noqa: BLE001 - only for the message
        keys = []
    inside = f" It holds {', '.join(keys)}: give one of them." if keys else " It is empty."
    return f"{name} is a zarr group and no OME-Zarr image.{inside}"
