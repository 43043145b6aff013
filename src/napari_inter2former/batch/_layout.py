"""Shape and axes of labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_inter2former.images import Spacing

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """What labels of an image look like in a file.

    Attributes
    ----------
    axes : str
        Of ``t``, ``z``, ``y`` and ``x`` those that there are; rows and columns come last.
    shape : tuple of int
        Length of each axis.
    spacing : mapping
        Distances of pixels in the world and their units, as far as the image tells them.
    dtype : str
        NumPy type of the numbers.
    coarser : tuple of tuple of int
        Shapes of the coarser levels of the image's pyramid, largest first; empty if it has none.
    origin : mapping of str to float
        Where the first pixel lies in the world, if not at 0; OME-Zarr tells it.
    """

    axes: str
    shape: tuple[int, ...]
    spacing: Spacing = field(default_factory=dict)
    dtype: str = "int32"
    coarser: tuple[tuple[int, ...], ...] = ()
    origin: Mapping[str, float] = field(default_factory=dict)
