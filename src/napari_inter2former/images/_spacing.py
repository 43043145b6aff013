"""Distances of pixels in the world, as OME-TIFF, OME-Zarr and ImageJ store them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias
from xml.etree import ElementTree as ET

__all__ = ["Spacing", "ome_attributes", "spacing_of_ome"]

Spacing: TypeAlias = Mapping[str, tuple[float, str]]
"""By axis: the distance of neighbouring pixels, and its unit by OME-Zarr's name; '' if unknown."""

ATTRIBUTES = {
    "t": "TimeIncrement",
    "z": "PhysicalSizeZ",
    "y": "PhysicalSizeY",
    "x": "PhysicalSizeX",
}
UNITS = {
    "Å": "angstrom",
    "nm": "nanometer",
    "µm": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "ms": "millisecond",
    "s": "second",
    "min": "minute",
    "h": "hour",
}
"""OME-Zarr's names of OME-TIFF's units."""
OTHER_NAMES = {
    "um": "micrometer",
    "micron": "micrometer",
    "microns": "micrometer",
    "sec": "second",
}
"""And of those that people and microscopes write into ImageJ's files."""
MICRO = "\u00b5"


def spacing_of_ome(xml: str | None, series: int = 0) -> Spacing:
    """Read the distances from the metadata of an OME-TIFF; what they don't say is left out.

    Parameters
    ----------
    xml : str or None
        The metadata.
    series : int
        Which image.
    """
    try:
        nodes = [n for n in ET.fromstring(xml or "<OME/>").iter() if n.tag.endswith("}Pixels")]
    except ET.ParseError:
        return {}
    if series >= len(nodes):
        return {}
    spacing: dict[str, tuple[float, str]] = {}
    for axis, name in ATTRIBUTES.items():
        try:
            size = float(nodes[series].get(name, ""))
        except ValueError:
            continue
        unit = nodes[series].get(f"{name}Unit", "s" if axis == "t" else "µm")
        if math.isfinite(size) and size > 0:
            spacing[axis] = size, _unit(unit)
    return spacing


def spacing_of_imagej(metadata: Mapping[str, Any] | None, resolution: Mapping[str, Any]) -> Spacing:
    """Read the distances from the metadata of an ImageJ TIFF; what they don't say is left out.

    Parameters
    ----------
    metadata : mapping or None
        What ImageJ's description says: ``unit``, ``spacing`` (of planes), ``finterval`` (seconds
        between times, or ``tunit``).
    resolution : mapping
        By axis (``x``, ``y``) the tag XResolution or YResolution, pixels per unit as numerator and
        denominator.
    """
    if metadata is None:
        return {}
    unit = _unit(str(metadata.get("unit", "")))
    sizes: dict[str, tuple[Any, str]] = {
        "t": (metadata.get("finterval"), _unit(str(metadata.get("tunit", "s")))),
        "z": (metadata.get("spacing"), unit),
    }
    for axis, (pixels, length) in resolution.items():
        sizes[axis] = (length / pixels if pixels else None), unit
    spacing: dict[str, tuple[float, str]] = {}
    for axis, (size, name) in sizes.items():
        # Without a unit ImageJ's numbers are pixels, or the dots per inch of a printer.
        known = isinstance(size, (int, float)) and math.isfinite(size) and size != 0
        if known and name:
            spacing[axis] = abs(float(size)), name
    return spacing


def _unit(name: str) -> str:
    """Return OME-Zarr's name of a unit; '' if there is none."""
    # The micro sign and the Greek letter look alike, and both are in use; Fiji writes it escaped.
    name = name.strip().replace("\\u00B5", MICRO).replace("\u03bc", MICRO)
    if name in UNITS.values():
        return name
    return UNITS.get(name) or OTHER_NAMES.get(name.lower(), "")


def ome_attributes(spacing: Spacing) -> dict[str, Any]:
    """Return the distances as attributes of OME-TIFF, for tifffile; without a unit none."""
    symbols = {name: symbol for symbol, name in UNITS.items()}
    attributes: dict[str, Any] = {}
    for axis, (size, unit) in spacing.items():
        if axis in ATTRIBUTES and unit in symbols:
            attributes[ATTRIBUTES[axis]] = size
            attributes[f"{ATTRIBUTES[axis]}Unit"] = symbols[unit]
    return attributes
