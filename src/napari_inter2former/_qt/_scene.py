"""The layers of one annotation: the image, the widget's own two, and the labels."""

from __future__ import annotations

from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_inter2former._qt import _places
from napari_inter2former._qt._contrast import Contrast
from napari_inter2former._qt._own_layers import (
    MARK,
    ClicksLayer,
    PreviewLayer,
    lies_on,
    set_transform,
    transform_of,
)
from napari_inter2former._qt._targets import is_unused, new_labels
from napari_inter2former.annotation.objects import State
from napari_inter2former.annotation.pictures import mask_picture
from napari_inter2former.annotation.planes import Plane, StackLayout
from napari_inter2former.errors import ImageError

__all__ = ["Scene"]

COVERING = ("opaque", "translucent", "translucent_no_depth")
"""Blendings of images that hide what lies below."""


class Scene:
    """Make, show and remove layers. Layers are held by reference, so names don't matter.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.

    Attributes
    ----------
    image : Image, optional
        The image that is annotated.
    layout : StackLayout, optional
        Its axes; None if it can't be annotated.
    labels : Labels, optional
        Gets the accepted objects; None until one is chosen or needed.
    clicks, preview : optional
        The own layers, while they exist.
    contrast : Contrast
        Which intensities the model sees.
    """

    # Shared by all that come and go: a widget that is opened again goes on in the same labels.
    _labels_of: ClassVar[WeakKeyDictionary[Image, Labels]] = WeakKeyDictionary()

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.image: Image | None = None
        self.layout: StackLayout | None = None
        self.labels: Labels | None = None
        self.clicks: ClicksLayer | None = None
        self.preview: PreviewLayer | None = None
        self.contrast = Contrast.PERCENTILES
        self._hidden: list[tuple[Layer, bool]] = []
        self._made: WeakKeyDictionary[Labels, str] = WeakKeyDictionary()

    # ---- what there is ---------------------------------------------------------------------------

    def images(self) -> list[Image]:
        """Image layers of the viewer."""
        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def labels_layers(self) -> list[Labels]:
        """Labels layers of the viewer that are not previews."""
        labels = (layer for layer in self.viewer.layers if isinstance(layer, Labels))
        return [layer for layer in labels if MARK not in layer.metadata]

    def likely_image(self) -> Image | None:
        """Return the active image, or else the topmost visible one, or else the topmost."""
        images = self.images()
        active = self.viewer.layers.selection.active
        if active in images:
            return active
        visible = [layer for layer in images if layer.visible]
        return next(reversed(visible or images), None)

    @property
    def clicking(self) -> bool:
        """Whether a click on the canvas would become a click of the current object."""
        if self.clicks is None or self.clicks.layer not in self.viewer.layers:
            return False
        if self.preview is None:
            return False
        layer = self.clicks.layer
        return self.viewer.layers.selection.active is layer and str(layer.mode) == "add"

    def plane(self) -> Plane | None:
        """Return the plane on screen, or None."""
        if self.image is None or self.layout is None:
            return None
        try:
            return _places.plane_on_screen(self.viewer, self.image, self.layout)
        except ImageError:
            return None

    def why_no_plane(self) -> str:
        """Say why `plane` finds none; '' if it does."""
        if self.image is not None and self.layout is not None:
            try:
                _places.plane_on_screen(self.viewer, self.image, self.layout)
            except ImageError as error:
                return str(error)
        return ""

    # ---- own layers ------------------------------------------------------------------------------

    def add_own_layers(self, actions: Any) -> bool:
        """Put the clicks and preview layers above the image; `actions` gets the keys.

        Layers that fit are used again, and others removed after their successors are there:
        vispy can crash when the last layer of a kind goes and others are drawn later
        (napari issues 6472 and 8471).

        Returns
        -------
        bool
            Whether the layers are new.
        """
        assert self.image is not None
        assert self.layout is not None
        clicks, preview = self.clicks, self.preview
        if clicks is not None and preview is not None and clicks.layer.ndim == self.layout.ndim:
            clicks.follow(self.image, self.layout)
            preview.follow(self.image, self.layout)
            self.raise_own_layers()
            return False
        self.preview = PreviewLayer(self.image, self.layout)
        self.clicks = ClicksLayer(self.image, self.layout, actions)
        self.viewer.add_layer(self.preview.layer)
        self.viewer.add_layer(self.clicks.layer)
        self._remove(clicks, preview)
        return True

    def raise_own_layers(self) -> None:
        """Put them above all others."""
        layers = self.viewer.layers
        for own in (self.preview, self.clicks):
            if own is not None and own.layer in layers:
                layers.move(layers.index(own.layer), len(layers))

    def uncover(self, image: Image) -> None:
        """Put an image that lies below others, which may hide it, above them."""
        layers = self.viewer.layers
        above = [layer for layer in self.images() if layers.index(layer) > layers.index(image)]
        if any(layer.visible and layer.blending in COVERING for layer in above):
            layers.move(layers.index(image), layers.index(above[-1]) + 1)
            # Its labels, which would be hidden now, follow.
            labels = self._labels_of.get(image)
            if (
                labels is not None
                and labels in layers
                and layers.index(labels) < layers.index(image)
            ):
                layers.move(layers.index(labels), layers.index(image) + 1)

    def remove_own_layers(self) -> None:
        """Remove them from the viewer, if they are there."""
        clicks, preview, self.clicks, self.preview = self.clicks, self.preview, None, None
        self._remove(clicks, preview)

    def _remove(self, clicks: ClicksLayer | None, preview: PreviewLayer | None) -> None:
        if clicks is not None:
            clicks.release()
        for own in (clicks, preview):
            if own is not None and own.layer in self.viewer.layers:
                self.viewer.layers.remove(own.layer)

    def activate(self) -> None:
        """Make the next click on the canvas count."""
        if self.clicks is not None:
            self.clicks.layer.visible = True
            self.clicks.layer.mode = "add"
            self.viewer.layers.selection.active = self.clicks.layer

    def follow_image(self, state: State) -> None:
        """Put the own layers over the image again, after it was scaled or moved.

        Labels that lay on it follow: the clicks layer still lies where the image was.
        """
        if self.clicks is not None and self.image is not None and self.layout is not None:
            if self.labels is not None and lies_on(self.labels, self.clicks.layer):
                set_transform(self.labels, transform_of(self.image, self.layout))
            self.clicks.follow(self.image, self.layout)
            self.show_mask(state)

    def go_to(self, plane: Plane) -> None:
        """Move the sliders to a plane."""
        now = self.plane()
        if now is not None and self.clicks is not None:
            _places.go_to(self.viewer, plane, now, self.clicks.layer)

    def centre(self, plane: Plane) -> tuple[float, float]:
        """(row, column) of the plane in the middle of the canvas."""
        if self.clicks is None:
            return (plane.shape[0] - 1) / 2, (plane.shape[1] - 1) / 2
        return _places.centre_of_view(self.viewer, plane, self.clicks.layer)

    def show(self, state: State) -> None:
        """Show the clicks and the mask of the current object."""
        if self.clicks is not None:
            self.clicks.show(state.clicks, state.plane)
        self.show_mask(state)

    def show_mask(self, state: State, picture: Any = None) -> None:
        """Show the mask, from its picture if there is one; an unknown mask changes nothing."""
        if self.preview is None:
            return
        if not state.clicks or state.plane is None:
            self.preview.clear()
        elif state.mask is not None and self.image is not None:
            if picture is None:
                picture = mask_picture(np.asarray(state.mask.data))
            if picture.size:
                self.preview.show(self.image, state.plane, state.mask.box, picture)
            else:
                self.preview.clear()

    def hide(self, hidden: bool) -> None:
        """Hide mask, labels and clicks, and show again what was visible before."""
        if hidden and not self._hidden:
            layers = [self.preview.layer if self.preview else None, self.labels]
            self._hidden = [(layer, layer.visible) for layer in layers if layer is not None]
            for layer, _ in self._hidden:
                layer.visible = False
            if self.clicks is not None:
                # A layer that isn't visible gets no keys, and the key's release is one.
                self.clicks.layer.opacity = 0
        elif not hidden and self._hidden:
            for layer, visible in self._hidden:
                layer.visible = visible
            self._hidden = []
            if self.clicks is not None:
                self.clicks.layer.opacity = 1

    # ---- labels ----------------------------------------------------------------------------------

    def remember_labels(self, layer: Labels) -> None:
        """Send this image's objects there, also when the user comes back to it later."""
        if self.image is not None:
            self._labels_of[self.image] = layer

    def remembered_labels(self) -> Labels | None:
        """Return the labels that this image's objects went to, if they are still there.

        One that was made here and that nobody uses may not suit the channels chosen now.
        """
        layer = self._labels_of.get(self.image) if self.image is not None else None
        if layer is None or layer not in self.viewer.layers or self._idle(layer):
            return None
        return layer

    def add_labels(self) -> Labels:
        """Make an empty labels layer, below the own layers, and leave the active one active."""
        assert self.image is not None
        assert self.layout is not None
        layers = self.viewer.layers
        layer = new_labels(self.image, self.layout)
        below = self.preview.layer if self.preview is not None else None
        place = layers.index(below) if below in layers else len(layers)
        active = layers.selection.active
        if active is None:
            layers.insert(place, layer)
        else:
            # Nobody has to hear that napari makes it the active one: it takes long over that.
            with layers.selection.events.blocker_all():
                layers.insert(place, layer)
                layers.selection.active = active
        self._made[layer] = layer.name
        return layer

    def drop_unused_labels(self) -> None:
        """Remove labels layers that were made here and that nobody uses."""
        for layer in list(self._made):
            if layer is not self.labels:
                idle = layer in self.viewer.layers and self._idle(layer)
                del self._made[layer]
                if idle:
                    self.viewer.layers.remove(layer)

    def _idle(self, layer: Labels) -> bool:
        return self._made.get(layer) == layer.name and is_unused(layer)
