"""Everything mode in the widget: the worker searches, its finds go into the labels in steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_inter2former._qt import _targets as targets
from napari_inter2former._qt._annotator import Annotator
from napari_inter2former.annotation import messages as say
from napari_inter2former.annotation.planes import Plane
from napari_inter2former.annotation.sparse import SparseLabels

__all__ = ["Searcher", "view_of"]

PIXELS_AT_ONCE = 1 << 15
"""So many label pixels are written before the window gets its turn."""

Box = tuple[int, int, int, int]


class Searcher(Annotator):
    """An annotator that can look for all objects by itself.

    Attributes
    ----------
    searching : tuple of int, optional
        Parts done and their number (0 as long as it isn't known) while a search runs.
    """

    searching: tuple[int, int] | None = None
    _later: Callable[[Callable[[], None]], None]
    _searched: Plane | None = None

    def search_view(self) -> None:
        """Look for all objects on screen, or stop looking."""
        self._search(whole=False)

    def search_image(self) -> None:
        """Look for all objects of the plane, or stop looking."""
        self._search(whole=True)

    def _search(self, whole: bool) -> None:
        link, scene = self.link, self.scene
        if link is None:
            return
        if self.searching is not None:
            link.stop_search()
            self.searching = None
            self.status.info("The search was stopped.")
            self.refresh()
            return
        plane = scene.plane()
        if plane is None or scene.image is None:
            self.status.warn(scene.why_no_plane() or "Choose an image first.")
        elif not link.model_ready:
            self.status.warn("The model is still being loaded.")
        else:
            region = (0, 0, *plane.shape)
            if not whole and scene.clicks is not None:
                region = view_of(self.viewer, plane, scene.image, scene.clicks.layer)
            self.searching, self._searched = (0, 0), plane
            link.search(plane, region)
            self.status.info("Looking for objects. You can go on clicking: clicks go first.")
        self.refresh()

    def _take_search(self, message: say.Message) -> None:
        """Take the worker's messages about a search."""
        if self.searching is None:
            return
        if isinstance(message, say.Searching):
            self.searching = (message.done, message.total)
        elif isinstance(message, say.Found):
            self.searching = None
            self._keep(message)
        elif isinstance(message, say.Failed) and message.job == "everything":
            self.searching = None

    def _keep(self, found: say.Found) -> None:
        """Put what was found into the labels layer, where it is free."""
        scene, plane = self.scene, self._searched
        if not found.numbers.size or plane is None or scene.layout is None:
            self.status.info("No objects were found here.")
            return
        if scene.labels is None:
            self._use_labels(scene.add_labels())
            scene.remember_labels(scene.labels)
        layer = scene.labels
        assert layer is not None
        ids = targets.ids_of(layer)
        count = int(found.numbers.max())
        if ids is None:
            self.status.warn("The labels that are there are being counted. Search again then.")
        elif ids.next + count - 1 > ids.limit:
            self.status.warn(
                f"'{layer.name}' has no room for {count} objects more: its type {ids.dtype} ends "
                f"at {ids.limit}. Choose 'New labels layer' and search again."
            )
        else:
            values = found.numbers + (ids.next - 1)
            ids.reserve(ids.next + count - 1)
            self._write_some(layer, plane, found.rows, found.columns, values, 0)
            self.status.info(f"{count} objects were found and added to '{layer.name}'.")

    def _write_some(
        self, layer: Labels, plane: Plane, rows: Any, columns: Any, values: Any, start: int
    ) -> None:
        """Write some pixels now, and the others when the window had its turn."""
        if layer not in self.viewer.layers or start >= len(rows):
            return
        stop = start + PIXELS_AT_ONCE
        r, c, v = rows[start:stop], columns[start:stop], values[start:stop]
        box = int(r.min()), int(c.min()), int(r.max()) + 1, int(c.max()) + 1
        try:
            free = targets.read_box(layer, plane, box)[r - box[0], c - box[1]] == 0
            indices = plane.indices(r[free], c[free])
            data = targets.array_of(layer)
            if isinstance(data, SparseLabels):
                data[indices] = v[free].astype(data.dtype)
                layer.refresh()
            elif free.any():
                layer.data_setitem(indices, v[free].astype(data.dtype))
        except (IndexError, TypeError, ValueError) as error:
            self.status.error(f"'{layer.name}' can't be written to: {error}")
            self.refresh()
            return
        self._later(lambda: self._write_some(layer, plane, rows, columns, values, stop))


def view_of(viewer: ViewerModel, plane: Plane, image: Image, layer: Layer) -> Box:
    """(r0, c0, r1, c1) of the part of a plane on screen; all of it where that isn't known.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    plane : Plane
        The plane on screen.
    image : Image
        Whose visible part it is.
    layer : Layer
        With the annotation axes.
    """
    corners = np.asarray(image.corner_pixels, dtype=float)
    if image.multiscale:
        corners = corners * np.asarray(image.downsample_factors[image.data_level])
    ends = []
    for corner in corners:
        world = np.array(viewer.dims.point, dtype=float)
        world[-image.ndim :] = image.data_to_world(corner)
        point = layer.world_to_data(world[-layer.ndim :])
        ends.append(plane.position([float(i) for i in point]))
    (top, left), (bottom, right) = np.sort(np.array(ends), axis=0)
    height, width = plane.shape
    r0, c0 = max(int(top), 0), max(int(left), 0)
    r1, c1 = min(int(np.ceil(bottom)) + 1, height), min(int(np.ceil(right)) + 1, width)
    if r1 - r0 <= 1 or c1 - c0 <= 1:
        return 0, 0, height, width
    return r0, c0, r1, c1
