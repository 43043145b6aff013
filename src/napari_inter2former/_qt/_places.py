"""Where the user looks: planes, positions and numbers, read from the viewer's public state."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_inter2former._qt._targets import array_of
from napari_inter2former.annotation.planes import Plane, StackLayout
from napari_inter2former.errors import ImageError

__all__ = [
    "camera_of",
    "centre_of_view",
    "go_to",
    "index_under_cursor",
    "layout_of",
    "plane_on_screen",
]


def camera_of(viewer: ViewerModel) -> Any:
    """Return the camera, which napari 0.9 moved from the viewer to its scene."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def layout_of(image: Image, channel_axis: int | None) -> StackLayout:
    """Read the axes of an image.

    Raises
    ------
    ImageError
        If its data type or its axes can't be used; the message says what to do.
    """
    finest = image.data[0] if image.multiscale else image.data
    if np.dtype(finest.dtype).kind not in "biuf":
        raise ImageError(
            f"'{image.name}' has the data type {finest.dtype}, which can't be used. "
            "Convert it to real numbers first, for example with numpy.abs."
        )
    shape = tuple(int(n) for n in finest.shape)
    return StackLayout(shape[:-1] if image.rgb else shape, channel_axis, bool(image.rgb))


def plane_on_screen(viewer: ViewerModel, image: Image, layout: StackLayout) -> Plane:
    """Find the plane of the image that is shown.

    Raises
    ------
    ImageError
        If there is none: the 3-D view, or the channels are a side of the picture.
    """
    dims = viewer.dims
    displayed = [axis - (dims.ndim - image.ndim) for axis in dims.displayed]
    position = np.zeros(image.ndim)
    if image.ndim > 2:
        # Only then it matters, and napari takes long over it: this is called all the time.
        position = image.world_to_data(np.asarray(dims.point, dtype=float)[-image.ndim :])
    return layout.plane(displayed, [float(i) for i in position])


def go_to(viewer: ViewerModel, plane: Plane, now: Plane, layer: Layer) -> None:
    """Move the sliders from the plane `now` to another; `layer` has the annotation axes."""
    if now == plane or now.axes != plane.axes:
        return
    world = layer.data_to_world(plane.point(0, 0))
    offset = viewer.dims.ndim - len(world)
    for axis, value in enumerate(world):
        if axis not in plane.axes and now.index[axis] != plane.index[axis]:
            viewer.dims.set_point(axis + offset, value)


def centre_of_view(viewer: ViewerModel, plane: Plane, layer: Layer) -> tuple[float, float]:
    """(row, column) of the plane in the middle of the canvas, moved into the image."""
    dims = viewer.dims
    world = np.array(dims.point, dtype=float)
    world[list(dims.displayed)] = camera_of(viewer).center[-len(dims.displayed) :]
    point = layer.world_to_data(world[-layer.ndim :])
    row, column = plane.position([float(i) for i in point])
    height, width = plane.shape
    return float(np.clip(row, 0, height - 1)), float(np.clip(column, 0, width - 1))


def index_under_cursor(viewer: ViewerModel, labels: Labels) -> tuple[int, ...] | None:
    """Index of the object's pixel under the mouse; None on background and outside."""
    position = np.asarray(viewer.cursor.position, dtype=float)[-labels.ndim :]
    if position.size != labels.ndim:
        return None
    at = tuple(round(float(i)) for i in labels.world_to_data(position))
    data = array_of(labels)
    if not all(0 <= i < n for i, n in zip(at, data.shape, strict=True)):
        return None
    return at if data[at] else None
