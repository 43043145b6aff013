"""Images on disk, opened without being read: OME-Zarr, zarr, OME-TIFF and others with pyramids."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_inter2former.errors import ImageError
from napari_inter2former.images._lazy import cut
from napari_inter2former.images._spacing import Spacing

__all__ = ["StoredImage"]

PLANE_AXES = "yx"
CHANNEL, SAMPLES = "c", "s"


@dataclass(frozen=True, eq=False)
class StoredImage:
    """An image of any number of axes whose pixels are still where they are stored.

    Made by `open_image`.

    Parameters
    ----------
    levels : tuple of array-like
        Of the pyramid, largest first; one for an image without.
    axes : str
        One letter per axis: ``y``, ``x``, ``c`` (channels), ``s`` (samples: red, green, blue and
        perhaps alpha), ``z``, ``t``, or any other.
    name : str
        For messages.
    spacing : mapping of str to (float, str)
        Distance of pixels along an axis and its unit (``"micrometer"``), as far as they are known.
    alpha : bool
        Whether transparency was left out.
    siblings : bool
        Whether more images of this kind lie beside the one that was opened, such as the other
        positions of a microscope.
    origin : mapping of str to float
        Where the first pixel lies along an axis, in the unit of `spacing`; 0 where nothing is said.
    """

    levels: tuple[Any, ...]
    axes: str
    name: str = "the image"
    spacing: Spacing = field(default_factory=dict)
    alpha: bool = False
    siblings: bool = False
    origin: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that axes and levels belong together."""
        shape = self.shape
        if len(shape) != len(self.axes) or len(set(self.axes)) < len(self.axes):
            raise ImageError(f"{self.name} has the axes {self.axes!r} and the shape {shape}.")
        if any(axis not in self.axes for axis in PLANE_AXES):
            raise ImageError(f"{self.name} holds no image plane: its axes are {self.axes!r}.")
        if any(len(level.shape) != len(shape) for level in self.levels):
            raise ImageError(
                f"The pyramid levels of {self.name} do not match: they have different axes."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the full resolution, in the order of `axes`."""
        return tuple(int(n) for n in self.levels[0].shape)

    @property
    def dtype(self) -> Any:
        """Of the full resolution."""
        return self.levels[0].dtype

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(height, width) of a plane in pixels."""
        return self.sizes["y"], self.sizes["x"]

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis, by its letter."""
        return dict(zip(self.axes, self.shape, strict=True))

    @property
    def channel_axis(self) -> str | None:
        """Letter of the axis that a plane keeps besides rows and columns, if any."""
        return next((axis for axis in (SAMPLES, CHANNEL) if axis in self.axes), None)

    @property
    def stack(self) -> dict[str, int]:
        """Length of each axis that numbers planes: all but rows, columns and the channels."""
        kept = {*PLANE_AXES, self.channel_axis}
        return {axis: n for axis, n in self.sizes.items() if axis not in kept}

    @property
    def planes(self) -> int:
        """Number of planes."""
        return math.prod(self.stack.values())

    def plane(
        self, index: int | Mapping[str, int] | None = None
    ) -> tuple[list[Any], int | None, bool]:
        """Cut one plane out of every level; nothing is read.

        Parameters
        ----------
        index : int or mapping of str to int, optional
            Position on the axes of `stack`, such as ``{"t": 3, "z": 10}`` (those left out must
            have length 1), or the number of the plane, the last axis counting fastest. Not needed
            if there is only one plane.

        Returns
        -------
        levels : list of array-like
            With two axes, or three with channels.
        channel_axis : int or None
            As for `as_image_source`.
        rgb : bool
            As for `as_image_source`.

        Raises
        ------
        ImageError
            If there is no such plane, or there are several and none was chosen.
        """
        at = self._position(index)
        levels = []
        for level in self.levels:
            keys: list[int | None] = []
            for axis, full, size in zip(self.axes, self.shape, level.shape, strict=True):
                # A coarser level may be coarser along the stack as well.
                keys.append(
                    min(at[axis] * int(size) // full, int(size) - 1) if axis in at else None
                )
            levels.append(cut(level, tuple(keys)))
        kept = [axis for axis in self.axes if axis not in at]
        rows_first = kept.index("y") < kept.index("x")
        if not rows_first:
            raise ImageError(
                f"{self.name} has the axes {self.axes!r}; columns before rows can't be used."
            )
        if self.channel_axis is None:
            return levels, None, False
        place = kept.index(self.channel_axis)
        rgb = self.channel_axis == SAMPLES and place == 2 and self.sizes[SAMPLES] in (3, 4)
        return levels, None if rgb else place, rgb

    def _position(self, index: int | Mapping[str, int] | None) -> dict[str, int]:
        stack = self.stack
        counted = ", ".join(f"{axis}: {n}" for axis, n in stack.items())
        if isinstance(index, Mapping):
            unknown = [axis for axis in index if axis not in stack]
            missing = [axis for axis, n in stack.items() if axis not in index and n > 1]
            if unknown or missing:
                raise ImageError(
                    f"The planes of {self.name} are numbered by ({counted}); "
                    + (f"there is no axis {unknown[0]!r}." if unknown else f"{missing[0]} is open.")
                )
            at = {axis: int(index.get(axis, 0)) for axis in stack}
        else:
            if index is None and self.planes > 1:
                raise ImageError(
                    f"{self.name} holds {self.planes} planes ({counted}); choose one with plane=0 "
                    f"and so on, or plane={{{next(iter(stack))!r}: 0}}."
                )
            number = 0 if index is None else int(index)
            if not 0 <= number < self.planes:
                planes = "one plane" if self.planes == 1 else f"{self.planes} planes"
                raise ImageError(f"{self.name} holds {planes}; plane {number} does not exist.")
            at = {}
            for axis in reversed(stack):
                number, at[axis] = divmod(number, stack[axis])
        for axis, position in at.items():
            if not 0 <= position < stack[axis]:
                raise ImageError(
                    f"{self.name} has {stack[axis]} planes along {axis}; {position} is none of "
                    "them."
                )
        return at
