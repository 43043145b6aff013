"""Everything mode in the widget: the worker searches, and its finds go into the labels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_inter2former._qt import _targets as targets
from napari_inter2former.annotation import messages as say
from napari_inter2former.annotation.found import FoundMask, FoundObjects
from napari_inter2former.annotation.objects import Write
from napari_inter2former.annotation.planes import Plane

if TYPE_CHECKING:
    from napari_inter2former._qt._annotator import Annotator

__all__ = ["Searcher", "view_of"]

Box = tuple[int, int, int, int]


class Searcher:
    """The search for all objects of a plane.

    Parameters
    ----------
    annotator : Annotator
        Whose image is searched, and whose labels get the objects.

    Attributes
    ----------
    progress : tuple of int, optional
        Parts done and their number (0 as long as it isn't known) while a search runs.
    """

    def __init__(self, annotator: Annotator) -> None:
        self._it = annotator
        self._plane: Plane | None = None
        self.progress: tuple[int, int] | None = None

    def in_view(self) -> None:
        """Look for all objects on screen, or stop looking."""
        self._start(whole=False)

    def in_image(self) -> None:
        """Look for all objects of the plane, or stop looking."""
        self._start(whole=True)

    def stop(self, why: str) -> None:
        """End the search if one runs, and say why."""
        if self.progress is not None:
            self.progress = None
            if self._it.link is not None:
                self._it.link.stop_search()
            self._it.status.info(why)

    def take(self, message: say.Message) -> None:
        """Take the worker's messages about the search that runs."""
        if self.progress is None:
            return
        if isinstance(message, say.Searching):
            self.progress = (message.done, message.total)
        elif isinstance(message, say.Found):
            self.progress = None
            self._keep(message)
        elif isinstance(message, say.Failed) and message.job == "everything":
            self.progress = None

    def _start(self, whole: bool) -> None:
        it, link, scene = self._it, self._it.link, self._it.scene
        if link is None:
            return
        plane = scene.plane()
        if self.progress is not None:
            self.stop("The search was stopped.")
        elif plane is None or scene.image is None:
            it.status.warn(scene.why_no_plane() or "Choose an image first.")
        elif not link.model_ready:
            it.status.warn("The model is still being loaded.")
        else:
            region = (0, 0, *plane.shape)
            if not whole and scene.clicks is not None:
                region = view_of(it.viewer, plane, scene.image, scene.clicks.layer)
            self.progress, self._plane = (0, 0), plane
            link.search(plane, region)
            it.status.info("Looking for objects. You can go on clicking: clicks go first.")
        it.refresh()

    def _keep(self, message: say.Found) -> None:
        """Put what was found into the labels layer, where it is free."""
        it, plane, count = self._it, self._plane, len(message.masks)
        if not count or plane is None or it.scene.layout is None:
            it.status.info("No objects were found here.")
            return
        layer = it.labels_layer()
        ids = targets.ids_of(layer)
        if ids is None:
            it.status.warn("The labels that are there are being counted. Search again then.")
        elif ids.next + count - 1 > ids.limit:
            it.status.warn(
                f"'{layer.name}' has no room for {count} objects more: its type {ids.dtype} ends "
                f"at {ids.limit}. Choose 'New labels layer' and search again."
            )
        else:
            found = FoundObjects(self._beside_current(message, layer), ids.next)
            ids.reserve(ids.next + count - 1)
            it.session.add_found(Write(targets.token_of(layer), plane, found))
            it.status.info(f"{count} objects were found; those that are new are being added.")
            it.found.write(layer, plane, found, added=partial(self._tell, layer, count))

    def _tell(self, layer: Labels, count: int, added: int) -> None:
        """Say what became of the objects that were found."""
        known = count - added
        text = f"{added} object{'s' * (added != 1)} found and added to '{layer.name}'."
        if known:
            text += f" {known} more {'lie' if known > 1 else 'lies'} on what is there already."
        self._it.status.info(text)
        self._it.refresh()

    def _beside_current(self, message: say.Found, layer: Labels) -> tuple[FoundMask, ...]:
        """Leave free what the current object covers, now or in the labels that it was in."""
        state, masks = self._it.session.state, message.masks
        if state.mask is not None and state.plane == self._plane:
            data, box = np.asarray(state.mask.data), state.mask.box
            masks = tuple(mask.without(data, box) for mask in masks)
        again = state.reopened
        here = (targets.token_of(layer), self._plane)
        if again is not None and (again.target, again.state.plane) == here:
            masks = tuple(mask.without(again.edit.where, again.edit.box) for mask in masks)
        return masks


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
