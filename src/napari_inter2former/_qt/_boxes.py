"""Boxes: while they are switched on, a drag on the image draws one round an object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Points

from napari_inter2former.annotation.pictures import mask_picture
from napari_inter2former.annotation.planes import Plane, read_clicks
from napari_inter2former.errors import PromptError
from napari_inter2former.prompts import box

if TYPE_CHECKING:
    from napari_inter2former._qt._annotator import Annotator

__all__ = ["BoxDrawer"]

DRAG_PIXELS = 5
"""A mouse that is released nearer to where it was pressed, on the canvas, has clicked: napari takes
it for that."""
LEAST_SIDE = 2.0
"""Of a box, in image pixels."""

Point = npt.NDArray[np.float64]


class BoxDrawer:
    """Draw boxes on the image with the mouse.

    Parameters
    ----------
    annotator : Annotator
        Whose objects get the boxes.

    Attributes
    ----------
    on : bool
        Whether a drag draws a box; else it moves the view, as napari has it.
    """

    def __init__(self, annotator: Annotator) -> None:
        self._it = annotator
        self.on = False

    def drag(self, layer: Points, event: Any) -> Iterator[None]:
        """Follow the mouse from press to release: a mouse callback of the clicks layer."""
        if not self.on or str(layer.mode) != "add" or event.button != 1 or event.modifiers:
            return
        shown = self._it.scene.plane()
        if shown is None:  # as in the 3-D view, which a drag turns
            return
        plane = self._it.session.state.plane or shown
        pressed, far = np.array(event.pos), False
        start = stop = np.array(layer.world_to_data(event.position))
        yield
        while event.type == "mouse_move":
            event.handled = True  # the view stays where it is
            stop = np.array(layer.world_to_data(event.position))
            far = float(np.linalg.norm(event.pos - pressed)) >= DRAG_PIXELS
            self._show(plane, start, stop)
            yield
        if far:
            self._finish(plane, start, stop)
        else:  # napari makes it a click
            self._it.scene.show_mask(self._it.session.state)

    def _show(self, plane: Plane, start: Point, stop: Point) -> None:
        """Draw the box's outline."""
        scene = self._it.scene
        if scene.preview is None or scene.image is None:
            return
        ends = np.array([_on(plane, start), _on(plane, stop)])[:, plane.axes]
        (r0, c0), (r1, c1) = np.sort(np.rint(ends).astype(int), axis=0).tolist()
        outline = mask_picture(np.broadcast_to(np.True_, (r1 + 1 - r0, c1 + 1 - c0)))
        outline[outline == 1] = 0
        scene.preview.show(scene.image, plane, (r0, c0, r1 + 1, c1 + 1), outline)

    def _finish(self, plane: Plane, start: Point, stop: Point) -> None:
        """Make a box of what was drawn."""
        it = self._it
        try:
            points = np.array([_on(plane, start), _on(plane, stop)])
            first, last = read_clicks(plane, points, [False, False])
            if min(abs(first.row - last.row), abs(first.column - last.column)) < LEAST_SIDE:
                raise PromptError("That box is too small: drag it round the whole object.")
            it.surround(box(first.row, first.column, last.row, last.column), plane)
        except PromptError as error:
            it.status.warn(str(error))
            it.scene.show(it.session.state)
        it.refresh()


def _on(plane: Plane, point: Point) -> Point:
    """Return the nearest position on the picture; in another plane it stays there."""
    point = point.copy()
    for axis, size in zip(plane.axes, plane.shape, strict=True):
        point[axis] = np.clip(point[axis], 0, size - 1)
    return point
