"""Distances of pixels in the world, as OME-TIFF and OME-Zarr store them."""

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
            # The micro sign and the Greek letter look alike, and both are in use.
            spacing[axis] = size, UNITS.get(unit.replace("\u03bc", "\u00b5"), "")
    return spacing


def ome_attributes(spacing: Spacing) -> dict[str, Any]:
    """Return the distances as attributes of OME-TIFF, for tifffile; without a unit none."""
    symbols = {name: symbol for symbol, name in UNITS.items()}
    attributes: dict[str, Any] = {}
    for axis, (size, unit) in spacing.items():
        if axis in ATTRIBUTES and unit in symbols:
            attributes[ATTRIBUTES[axis]] = size
            attributes[f"{ATTRIBUTES[axis]}Unit"] = symbols[unit]
    return attributes
