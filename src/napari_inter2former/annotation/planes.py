"""The 2-D picture that is annotated, and its place in a stack.

Three spaces meet here. *Image axes* are those of the array. *Annotation axes* are those of the
labels and the points: the image's axes without colours, and without a leading channel axis; a
channel axis in the middle stays with length 1, so that the axes after it still line up. *Plane*
coordinates are (row, column) on the two axes that are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_inter2former.errors import ImageError, PromptError
from napari_inter2former.images import LazyPlane, cut
from napari_inter2former.prompts import Click

__all__ = ["LazyPlane", "Plane", "StackLayout", "read_clicks"]


@dataclass(frozen=True)
class Plane:
    """One 2-D picture in a stack.

    Parameters
    ----------
    axes : tuple of int
        The two annotation axes that are its rows and columns, in rising order.
    index : tuple of int
        Position on every annotation axis; 0 at `axes`.
    shape : tuple of int
        (height, width) in pixels.
    """

    axes: tuple[int, int]
    index: tuple[int, ...]
    shape: tuple[int, int]

    def contains(self, row: float, column: float) -> bool:
        """Whether a position lies on a pixel; whole numbers are pixel centres."""
        height, width = self.shape
        return -0.5 <= row < height - 0.5 and -0.5 <= column < width - 0.5

    def point(self, row: float, column: float) -> tuple[float, ...]:
        """Position on the annotation axes of a position in the plane."""
        place: list[float] = [float(i) for i in self.index]
        place[self.axes[0]], place[self.axes[1]] = row, column
        return tuple(place)

    def position(self, point: Sequence[float]) -> tuple[float, float]:
        """(row, column) in the plane of a position on the annotation axes."""
        return float(point[self.axes[0]]), float(point[self.axes[1]])

    def holds(self, point: Sequence[float]) -> bool:
        """Whether a position on the annotation axes lies in this plane (not: inside its edges)."""
        others = (i for i in range(len(self.index)) if i not in self.axes)
        return all(round(float(point[i])) == self.index[i] for i in others)

    def region(self, box: tuple[int, int, int, int]) -> tuple[int | slice, ...]:
        """Index of a box (r0, c0, r1, c1) of this plane in an array on the annotation axes."""
        region: list[int | slice] = list(self.index)
        region[self.axes[0]] = slice(box[0], box[2])
        region[self.axes[1]] = slice(box[1], box[3])
        return tuple(region)

    def indices(
        self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
    ) -> tuple[npt.NDArray[np.intp], ...]:
        """Index arrays, one per annotation axis, of pixels of this plane."""
        full = [np.full(rows.shape, i, dtype=np.intp) for i in self.index]
        full[self.axes[0]], full[self.axes[1]] = rows, columns
        return tuple(full)

    def describe(self) -> str:
        """Name the slice for a message, counting from 0 as napari's sliders do; '' in 2-D."""
        others = [str(self.index[i]) for i in range(len(self.index)) if i not in self.axes]
        return f"slice {', '.join(others)}" if others else ""


@dataclass(frozen=True)
class StackLayout:
    """How an image's axes map to the annotation axes.

    Parameters
    ----------
    shape : tuple of int
        Of the image, the colour axis of RGB images left out.
    channel_axis : int, optional
        The image axis that holds channels, all of which are used together.
    rgb : bool
        Whether the array has one more axis, of 3 or 4 colours, at its end.

    Raises
    ------
    ImageError
        If the image has fewer than two axes besides the channels, or is empty.
    """

    shape: tuple[int, ...]
    channel_axis: int | None = None
    rgb: bool = False

    def __post_init__(self) -> None:
        axes = len(self.shape) - (self.channel_axis is not None)
        if axes < 2:
            raise ImageError("The image needs two axes besides its channels.")
        if 0 in self.shape:
            raise ImageError(f"The image is empty: its shape is {self.shape}.")
        if self.rgb and self.channel_axis is not None:
            raise ImageError("An RGB image needs no channel axis.")

    @property
    def drops_channel(self) -> bool:
        """Whether the channel axis comes first, and so isn't an annotation axis."""
        return self.channel_axis == 0

    @property
    def ndim(self) -> int:
        """Number of annotation axes."""
        return len(self.shape) - self.drops_channel

    @property
    def annotation_shape(self) -> tuple[int, ...]:
        """Shape of labels for this image."""
        if self.drops_channel:
            return self.shape[1:]
        return tuple(1 if i == self.channel_axis else n for i, n in enumerate(self.shape))

    def plane(self, displayed: Sequence[int], position: Sequence[float]) -> Plane:
        """Find the plane that is shown.

        Parameters
        ----------
        displayed : sequence of int
            The two *image* axes on screen, in any order.
        position : sequence of float
            A position on every image axis, in pixels.

        Returns
        -------
        Plane

        Raises
        ------
        ImageError
            If not two axes of the image are shown, or one of them holds the channels.
        """
        if len(displayed) != 2 or not all(0 <= axis < len(self.shape) for axis in displayed):
            raise ImageError("Switch to the 2-D view of the image: clicks need a flat picture.")
        if self.channel_axis in displayed:
            raise ImageError(
                "The channel axis is on screen as a side of the picture. Choose another channel "
                "axis, or roll the dimensions until rows and columns are shown."
            )
        rows, columns = sorted(displayed)
        index = [
            0
            if axis in (rows, columns, self.channel_axis)
            else min(max(round(float(position[axis])), 0), self.shape[axis] - 1)
            for axis in range(len(self.shape))
        ]
        drop = int(self.drops_channel)
        return Plane(
            axes=(rows - drop, columns - drop),
            index=tuple(index[drop:]),
            shape=(self.shape[rows], self.shape[columns]),
        )

    def cut(self, levels: Sequence[Any], plane: Plane) -> tuple[list[Any], int | None]:
        """Cut one plane out of every resolution level, without reading pixels.

        Parameters
        ----------
        levels : sequence of array-like
            Finest first; one for an ordinary image.
        plane : Plane
            Made by `plane`.

        Returns
        -------
        levels : list of array-like
            Two axes each, and one more for channels or colours.
        channel_axis : int, optional
            Which of these axes holds the channels; None without channels and for RGB.
        """
        drop = int(self.drops_channel)
        rows, columns = (axis + drop for axis in plane.axes)
        cuts = []
        for level in levels:
            index: list[int | None] = []
            for axis, size in enumerate(self.shape):
                if axis in (rows, columns, self.channel_axis):
                    index.append(None)
                else:
                    # A coarser level may be coarser along the stack as well.
                    at = plane.index[axis - drop] * int(level.shape[axis]) // size
                    index.append(min(at, int(level.shape[axis]) - 1))
            if self.rgb:
                index.append(None)
            cuts.append(cut(level, tuple(index)))
        if self.channel_axis is None:
            return cuts, None
        return cuts, sum(axis < self.channel_axis for axis in (rows, columns))


def read_clicks(
    plane: Plane, points: npt.NDArray[np.float64], positive: Sequence[bool]
) -> tuple[Click, ...]:
    """Turn points into clicks of one plane.

    Parameters
    ----------
    plane : Plane
        Where the current object is.
    points : array of float, (n, ndim)
        On the annotation axes.
    positive : sequence of bool
        Which of them mark the object.

    Returns
    -------
    tuple of Click
        Those on the outermost half pixel are moved to the pixel's centre.

    Raises
    ------
    PromptError
        If a point lies outside the image or in another plane.
    """
    height, width = plane.shape
    clicks = []
    for point, good in zip(points, positive, strict=True):
        if not plane.holds(point):
            raise PromptError(
                f"The current object is on {plane.describe() or 'another view'}. Press Enter to "
                "keep it or Esc to drop it, then click here."
            )
        row, column = plane.position(point)
        if not plane.contains(row, column):
            raise PromptError("That is outside the image, so it was not taken. Click on the image.")
        row, column = min(max(row, 0.0), height - 1.0), min(max(column, 0.0), width - 1.0)
        clicks.append(Click(row, column, bool(good)))
    return tuple(clicks)
