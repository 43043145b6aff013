"""What the widget does, without its looks: viewer events in, session and worker, layers out.

Everything in here runs on the window's thread and is quick: pixels are computed by the worker.
Layers are held by reference, so renaming them changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from psygnal import Signal

from napari_inter2former._qt import _targets as targets
from napari_inter2former._qt._connections import Connections
from napari_inter2former._qt._own_layers import MARK, TRANSFORM, ClicksLayer, PreviewLayer
from napari_inter2former._qt._status import Status
from napari_inter2former.annotation import messages as say
from napari_inter2former.annotation.labelling import OutOfIdsError, Rule
from napari_inter2former.annotation.planes import Plane, StackLayout
from napari_inter2former.annotation.session import NothingToAcceptError, Session, Step, Write
from napari_inter2former.annotation.worker import Worker
from napari_inter2former.errors import ImageError
from napari_inter2former.prompts import Click

__all__ = ["DEFAULT_MODEL", "Controller"]

DEFAULT_MODEL = "tiny"


class Controller:
    """The annotation loop on a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are. `napari.components.ViewerModel` will do.
    make_worker : callable
        Makes a (not yet started) `Worker` from the function that takes its messages. That
        function must be called on the window's thread with `receive`'s messages.
    later : callable
        Runs a function soon, on the window's thread, when the present event is over.

    Attributes
    ----------
    changed : psygnal.Signal
        Something that the widget shows has changed.
    moved : psygnal.Signal
        The view has moved; call `look` when it rests.
    """

    changed = Signal()
    moved = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        make_worker: Callable[[], Worker],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        self.viewer = viewer
        self.session = Session()
        self.status = Status()
        self.image: Image | None = None
        self.labels: Labels | None = None
        self.layout: StackLayout | None = None
        self.clicks: ClicksLayer | None = None
        self.preview: PreviewLayer | None = None
        self.rule = Rule.KEEP_OTHERS
        self.models: tuple[str, ...] = ()
        self.model: str | None = None
        self.model_ready = False
        self.encoding: tuple[float, float | None] | None = None
        self.encode_seconds: float | None = None
        self.is_open = False
        self._make_worker = make_worker
        self._later = later
        self._worker: Worker | None = None
        self._connections = Connections()
        self._channel_axis: int | None = None
        self._image_number = 0
        self._image_plane: Plane | None = None
        self._accept_waits = False
        self._made_labels: WeakKeyDictionary[Image, Labels] = WeakKeyDictionary()
        self._hidden: list[tuple[Layer, bool]] = []

    # ---- life ---------------------------------------------------------------------------------

    def open(self) -> None:
        """Start: connect to the viewer, start the worker, choose the active image."""
        if self.is_open:
            return
        self.is_open = True
        self._worker = self._make_worker()
        self._worker.start()
        self._worker.list_models()
        viewer, add = self.viewer, self._connections.add
        add(viewer, viewer.layers.events, "inserted", self._on_inserted)
        add(viewer, viewer.layers.events, "removed", self._on_removed)
        add(viewer, viewer.layers.selection.events, "active", self._on_active)
        add(viewer, viewer.dims.events, "current_step order ndisplay", self._on_dims)
        add(viewer, viewer.camera.events, "center zoom", self._on_camera)
        for layer in viewer.layers:
            self._watch_name(layer)
        self._choose_some_image()
        self.changed.emit()

    def close(self) -> None:
        """Stop: remove the own layers, disconnect, unbind, end the worker.

        The labels stay; clicks of an unfinished object go with their layer.
        """
        if not self.is_open:
            return
        self.is_open = False
        self.hide(False)
        self._connections.clear()
        self._remove_own_layers()
        self.image = self.labels = self.layout = None
        self.session.clear()
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    # ---- what the widget offers -----------------------------------------------------------------

    def images(self) -> list[Image]:
        """Image layers of the viewer."""
        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def labels_layers(self) -> list[Labels]:
        """Labels layers of the viewer that are not previews."""
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Labels) and MARK not in layer.metadata
        ]

    @property
    def channel_axis(self) -> int | None:
        """The image axis that holds channels."""
        return self._channel_axis

    @property
    def clicking(self) -> bool:
        """Whether a click on the canvas would reach the clicks layer."""
        if self.clicks is None or self.clicks.layer not in self.viewer.layers:
            return False
        layer = self.clicks.layer
        return self.viewer.layers.selection.active is layer and str(layer.mode) == "add"

    def refresh(self) -> None:
        """Work out what to tell the user, and announce the change."""
        self.status.todo = self._todo()
        self.changed.emit()

    # ---- choices ------------------------------------------------------------------------------

    def choose_image(self, image: Image | None, channel_axis: int | None = None) -> None:
        """Annotate this image; its encoding starts in the background."""
        if not self.is_open:
            return
        if image is self.image and channel_axis == self._channel_axis and self.clicks is not None:
            return
        unfinished = bool(self.session.state.clicks)
        self._leave_image()
        self.image, self._channel_axis = image, channel_axis
        if image is None:
            self.refresh()
            return
        events = "data " + TRANSFORM
        self._connections.add(image, image.events, events, self._on_image_changed)
        try:
            self.layout = _layout_of(image, channel_axis)
        except ImageError as error:
            self.layout = None
            self.status.error(str(error))
            self.refresh()
            return
        remembered = self._made_labels.get(image)
        if remembered is not None and remembered in self.viewer.layers:
            self._use_labels(remembered)
        self.status.info(
            "The unfinished object of the former image was discarded."
            if unfinished
            else f"Working on '{image.name}'."
        )
        self._add_own_layers()
        self.look()

    def choose_channel_axis(self, axis: int | None) -> None:
        """Use all channels along this axis together, or (None) take the image as a plain stack."""
        if self.image is not None:
            self.choose_image(self.image, axis)

    def choose_labels(self, layer: Labels | None) -> bool:
        """Put accepted objects into this layer; None makes a new one when it is needed.

        Returns
        -------
        bool
            False if the layer was refused; the status says why, and the former choice stays.
        """
        if layer is self.labels:
            return True
        if layer is not None and self.layout is not None:
            try:
                targets.check_labels(layer, self.layout)
            except targets.LabelsRefusedError as error:
                self.status.error(str(error))
                self.refresh()
                return False
        self._use_labels(layer)
        if layer is None:
            self.status.info("Objects go to a new labels layer.")
        elif self.image is not None:
            self._made_labels[self.image] = layer
            self.status.info(f"Objects go to '{layer.name}'.")
        self.refresh()
        return True

    def choose_model(self, name: str) -> None:
        """Change the model; clicks and labels stay, the current mask is computed anew."""
        if self._worker is None or name == self.model:
            return
        self.model, self.model_ready, self.encode_seconds = name, False, None
        self._worker.drop("predict", "prefetch")
        self._worker.load(name)
        self.status.info(f"Loading the model '{name}'.")
        self.refresh()

    # ---- actions --------------------------------------------------------------------------------

    def accept(self) -> None:
        """Keep the current mask as an object."""
        try:
            mask = self.session.check_accept()
            state = self.session.state
            labels = self._labels_for_accept()
            ids = targets.ids_of(labels)
            if ids is None:
                self._wait_to_accept("Counting the labels that are already there.")
                return
            again = state.reopened
            same = again is not None and again.target == targets.token_of(labels)
            number = again.number if again is not None and same else ids.check()
            assert state.plane is not None
            view = targets.read_box(labels, state.plane, mask.box)
            step = self.session.accept(view, number, targets.token_of(labels), self.rule)
        except NothingToAcceptError as error:
            if self.session.pending:
                self._wait_to_accept("Enter is taken: the object is kept when its mask is there.")
            else:
                self.status.warn(str(error))
                self.refresh()
            return
        except (OutOfIdsError, targets.LabelsRefusedError) as error:
            self.status.error(str(error))
            self.refresh()
            return
        ids.reserve(number)
        self._after(step)
        assert step.write is not None
        self.status.accepted(number, step.write.edit.area, step.write.edit.left_alone)
        self.refresh()

    def discard(self) -> None:
        """Drop the current object."""
        self._travel(self.session.discard(), "Discarded. Undo brings it back.", "Nothing to drop.")

    def undo(self) -> None:
        """Go one step back, over clicks and accepted objects."""
        self._travel(self.session.undo(), "Undone: {name}.", "Nothing to undo.")

    def redo(self) -> None:
        """Go one step forward again."""
        self._travel(self.session.redo(), "Done again: {name}.", "Nothing to redo.")

    def reopen(self) -> None:
        """Open the accepted object under the cursor (or the last one) for corrections."""
        token = targets.token_of(self.labels) if self.labels is not None else None
        number = self._number_under_cursor()
        if number is None:
            numbers = [key[1] for key in self.session.accepted if key[0] == token]
            number = numbers[-1] if numbers else None
        if token is None or number is None:
            self._say("There is no accepted object to open again.")
            return
        try:
            step = self.session.reopen(token, number)
        except NothingToAcceptError as error:
            self._say(str(error))
            return
        self._travel(
            step,
            f"Object {number} is open again. Enter keeps the changes, Esc drops them.",
            f"Object {number} was not made in this session, so it has no clicks to go back to.",
        )

    def hide(self, hidden: bool) -> None:
        """Hide masks, labels and clicks while held, to see the bare image."""
        if hidden and not self._hidden:
            own = [self.preview.layer if self.preview else None, self.labels]
            shown = [layer for layer in own if layer is not None]
            self._hidden = [(layer, layer.visible) for layer in shown]
            for layer in shown:
                layer.visible = False
            if self.clicks is not None:
                self.clicks.layer.opacity = 0
        elif not hidden and self._hidden:
            for layer, visible in self._hidden:
                layer.visible = visible
            self._hidden = []
            if self.clicks is not None:
                self.clicks.layer.opacity = 1

    def go_on(self) -> None:
        """Make the next click on the canvas count: the clicks layer active, in add mode."""
        if self.image is None:
            self._choose_some_image()
            return
        if self.layout is not None and (
            self.clicks is None or self.clicks.layer not in self.viewer.layers
        ):
            self._add_own_layers()
        if self.clicks is not None:
            self.clicks.layer.visible = True
            self.clicks.layer.mode = "add"
            self.viewer.layers.selection.active = self.clicks.layer
        self.refresh()

    def look(self) -> None:
        """The view rests: hand the visible plane to the worker, and encode what is visible."""
        if self._worker is None or self.image is None or self.layout is None:
            return
        plane = self.session.state.plane or self.plane()
        if plane is not None and self._show_worker(plane) and self.model_ready:
            row, column = self._centre_of_view(plane)
            self._worker.prefetch(self._image_number, row, column)
        self.refresh()

    # ---- answers from the worker ----------------------------------------------------------------

    def receive(self, message: say.Message) -> None:
        """Take a message of the worker; on the window's thread only."""
        if not self.is_open or self._worker is None:
            return
        if isinstance(message, say.ModelsFound):
            self._on_models(message.names)
        elif isinstance(message, say.ModelReady):
            self._on_model_ready(message.name)
        elif isinstance(message, say.Progress) and message.image == self._image_number:
            self.encoding = (message.fraction or 0.0, self.encode_seconds)
        elif isinstance(message, say.Encoded) and message.image == self._image_number:
            self.encoding = None
            self.encode_seconds = message.seconds or self.encode_seconds
        elif isinstance(message, say.Predicted):
            self._on_predicted(message)
        elif isinstance(message, say.Scanned):
            self._on_scanned(message)
        elif isinstance(message, say.Failed):
            self._on_failed(message)
        self.refresh()

    def _on_models(self, names: Sequence[str]) -> None:
        self.models = tuple(names)
        if not names:
            self.status.error("No model is installed. See 'inter2former info' for where it looks.")
        elif self.model not in names:
            self.choose_model(DEFAULT_MODEL if DEFAULT_MODEL in names else names[0])

    def _on_model_ready(self, name: str) -> None:
        if name != self.model:
            return
        self.model_ready = True
        request = self.session.ask_again()
        self._show_preview()
        if request is not None:
            self._predict(request)
        else:
            self.look()

    def _on_predicted(self, message: say.Predicted) -> None:
        if not self.session.receive(message.request, message.mask):
            return
        self._show_preview(message.picture)
        if self._accept_waits:
            self._accept_waits = False
            self.accept()

    def _on_scanned(self, message: say.Scanned) -> None:
        layer = targets.layer_of(message.target)
        if layer is not None:
            targets.set_ids(layer, message.largest)
        if layer is self.labels and self._accept_waits:
            self._accept_waits = False
            self.accept()

    def _on_failed(self, message: say.Failed) -> None:
        if message.job == "predict" and message.number != self.session.request:
            return
        if message.job in ("image", "prefetch") and message.number != self._image_number:
            return
        self.encoding, self._accept_waits = None, False
        what = {"model": "The model can't be loaded", "models": "No model can be found"}
        prefix = what.get(message.job)
        self.status.error(f"{prefix}. {message.reason}" if prefix else message.reason)

    # ---- viewer events --------------------------------------------------------------------------

    def _on_inserted(self, event: Any) -> None:
        self._watch_name(event.value)
        if self.image is None and isinstance(event.value, Image):
            # After napari has finished adding the layer.
            self._later(self._choose_some_image)
        self.refresh()

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        self._connections.drop(layer)
        if layer is self.image:
            self._image_gone()
        elif layer is self.labels:
            self._use_labels(None)
            self.status.warn("The labels layer was removed; the next object makes a new one.")
        elif self.clicks is not None and layer is self.clicks.layer:
            self.clicks.release()
            self.clicks = None
            self.session.discard()
            self.status.warn("The clicks layer was removed, and the current object with it.")
            self._show_preview()
        elif self.preview is not None and layer is self.preview.layer:
            self.preview = None
        self.refresh()

    def _image_gone(self) -> None:
        name = self.image.name if self.image is not None else ""
        self._leave_image(remove=False)
        self.status.warn(f"'{name}' was removed. Its labels are kept.")
        # Not while napari is in the middle of removing layers.
        self._later(self._clean_up)

    def _clean_up(self) -> None:
        if self.is_open and self.image is None:
            self._remove_own_layers()
            self._choose_some_image()

    def _on_active(self, _event: Any = None) -> None:
        self.refresh()

    def _on_dims(self, _event: Any = None) -> None:
        self.moved.emit()
        self.refresh()

    def _on_camera(self, _event: Any = None) -> None:
        self.moved.emit()

    def _on_image_changed(self, event: Any) -> None:
        image = self.image
        if image is None:
            return
        if event.type == "data":
            self._image_plane = None
            try:
                layout = _layout_of(image, self._channel_axis)
            except ImageError:
                layout = None
            if layout != self.layout or self.clicks is None:
                axis, self.image = self._channel_axis, None
                self._later(lambda: self.choose_image(image, axis))
                return
            request = self.session.ask_again()
            if request is not None:
                self._predict(request)
            self.look()
        elif self.layout is not None and self.clicks is not None:
            self.clicks.follow(image, self.layout)
            self._show_preview()

    def _on_labels_data(self, _event: Any = None) -> None:
        """All labels were replaced (converted, for one): check and count again."""
        if self.labels is None or self.layout is None or self._worker is None:
            return
        try:
            targets.check_labels(self.labels, self.layout)
        except targets.LabelsRefusedError as error:
            self._use_labels(None)
            self.status.error(str(error))
        else:
            self._worker.scan(targets.token_of(self.labels), self.labels.data)
        self.refresh()

    def _on_brush(self, _event: Any = None) -> None:
        """The user's brush number is in use from now on."""
        ids = targets.ids_of(self.labels) if self.labels is not None else None
        if ids is not None and self.labels is not None:
            ids.reserve(int(self.labels.selected_label))

    def _on_points(self, event: Any = None) -> None:
        """Points were added, moved, deleted or pasted: by the user, or not at all."""
        if self.clicks is None or self.clicks.quiet or self.layout is None:
            return
        action = str(getattr(event, "action", "")).rsplit(".", 1)[-1].lower()
        if action in ("adding", "changing", "removing"):
            return
        plane = self.session.state.plane or self.plane()
        if plane is None:
            self.status.warn("Switch to the 2-D view of the image: clicks need a flat picture.")
            self._show_clicks()
            self.refresh()
            return
        data, positive = self.clicks.read()
        places = [plane.position(point) for point in data]
        if not all(plane.holds(point) for point in data):
            self._refuse(
                f"The current object is on {plane.describe() or 'another view'}. Press Enter to "
                "keep it or Esc to drop it, then click here."
            )
            return
        if not all(plane.contains(*place) for place in places):
            self._refuse("That is outside the image, so it was not taken. Click on the image.")
            return
        height, width = plane.shape
        clicks = tuple(
            Click(min(max(r, 0.0), height - 1.0), min(max(c, 0.0), width - 1.0), p)
            for (r, c), p in zip(places, positive, strict=True)
        )
        self.clicks.style(positive)
        step = self.session.set_clicks(clicks, plane)
        if step is not None:
            self._accept_waits = False
            self.status.clear()
            if step.request is not None:
                self._predict(step.request)
            else:
                self._show_preview()
                self.look()
        self.refresh()

    # ---- steps ------------------------------------------------------------------------------------

    def _refuse(self, why: str) -> None:
        """Take the points back to the session's clicks."""
        self.status.warn(why)
        self._show_clicks()
        self.refresh()

    def _say(self, text: str) -> None:
        self.status.warn(text)
        self.refresh()

    def _wait_to_accept(self, why: str) -> None:
        self._accept_waits = True
        self.status.info(why)
        self.refresh()

    def _travel(self, step: Step | None, done: str, nothing: str) -> None:
        if step is None:
            self._say(nothing)
            return
        self.status.info(done.format(name=step.name))
        self._after(step, go_there=True)
        self.refresh()

    def _after(self, step: Step, go_there: bool = False) -> None:
        """Bring labels, points and mask to where the session is now."""
        self._accept_waits = False
        if step.write is not None:
            self._write(step.write)
        state = self.session.state
        plane = state.plane or (step.write.plane if step.write is not None else None)
        if go_there and plane is not None:
            self._go_to(plane)
        self._show_clicks()
        self._show_preview()
        if step.request is not None:
            self._predict(step.request)
        else:
            self.look()

    def _write(self, write: Write) -> None:
        layer = targets.layer_of(write.target)
        if layer is None or layer not in self.viewer.layers:
            self.status.warn("The labels layer of that object is gone; only the clicks changed.")
            return
        try:
            targets.write_edit(layer, write)
        except (IndexError, TypeError, ValueError) as error:
            self.status.error(f"'{layer.name}' can't be written to: {error}")

    def _predict(self, request: int) -> None:
        plane = self.session.state.plane
        if self._worker is None or plane is None or not self._show_worker(plane):
            return
        if self.model_ready:
            self._worker.predict(request, self._image_number, self.session.state.clicks)

    def _show_worker(self, plane: Plane) -> bool:
        """Make the worker look at this plane; False if there is no image."""
        if self._worker is None or self.image is None or self.layout is None:
            return False
        if plane != self._image_plane:
            levels = list(self.image.data) if self.image.multiscale else [self.image.data]
            planes, channel_axis = self.layout.cut(levels, plane)
            self._image_number += 1
            self._image_plane = plane
            self.encoding = None
            array = planes if self.image.multiscale else planes[0]
            self._worker.set_image(self._image_number, array, channel_axis, self.layout.rgb)
        return True

    def _show_clicks(self) -> None:
        if self.clicks is not None:
            self.clicks.show(self.session.state.clicks, self.session.state.plane)

    def _show_preview(self, picture: Any = None) -> None:
        if self.preview is None or self.image is None:
            return
        state = self.session.state
        if not state.clicks or state.plane is None:
            self.preview.clear()
        elif state.mask is not None:
            if picture is None:
                from napari_inter2former.annotation.pictures import mask_picture

                picture = mask_picture(np.asarray(state.mask.data))
            if picture.size:
                self.preview.show(self.image, state.plane, state.mask.box, picture)
            else:
                self.preview.clear()

    # ---- layers -----------------------------------------------------------------------------------

    def _choose_some_image(self) -> None:
        if not self.is_open or self.image is not None:
            return
        images = self.images()
        active = self.viewer.layers.selection.active
        visible = [layer for layer in images if layer.visible]
        if active in images:
            self.choose_image(active)
        elif images:
            self.choose_image((visible or images)[-1])
        self.refresh()

    def _add_own_layers(self) -> None:
        """(Re)make the clicks and preview layers above everything, and make clicks count."""
        if self.image is None or self.layout is None or not self.is_open:
            return
        self._remove_own_layers()
        self.preview = PreviewLayer(self.image, self.layout)
        self.clicks = ClicksLayer(self.image, self.layout, self)
        self.viewer.add_layer(self.preview.layer)
        self.viewer.add_layer(self.clicks.layer)
        layer = self.clicks.layer
        self._connections.add(layer, layer.events, "data features", self._on_points)
        self._connections.add(layer, layer.events, "mode", self._on_active)
        self._show_clicks()
        self._show_preview()
        self.go_on()

    def _remove_own_layers(self) -> None:
        clicks, preview, self.clicks, self.preview = self.clicks, self.preview, None, None
        if clicks is not None:
            self._connections.drop(clicks.layer)
            clicks.release()
        for own in (clicks, preview):
            if own is not None and own.layer in self.viewer.layers:
                self.viewer.layers.remove(own.layer)

    def _leave_image(self, remove: bool = True) -> None:
        if self.image is not None:
            self._connections.drop(self.image)
            self._watch_name(self.image)
        self.hide(False)
        self.image = self.layout = self._image_plane = None
        self._channel_axis = None
        self._image_number += 1
        self.encoding, self._accept_waits = None, False
        self.session.clear()
        self._use_labels(None)
        if self._worker is not None:
            self._worker.forget_image()
        if remove:
            self._remove_own_layers()

    def _labels_for_accept(self) -> Labels:
        assert self.image is not None
        assert self.layout is not None
        if self.labels is None:
            layer = targets.new_labels(self.image, self.layout)
            below = self.preview.layer if self.preview is not None else None
            at = self.viewer.layers.index(below) if below in self.viewer.layers else None
            self._made_labels[self.image] = layer
            active = self.viewer.layers.selection.active
            self.viewer.layers.insert(len(self.viewer.layers) if at is None else at, layer)
            self._use_labels(layer)
            if active is not None:
                self.viewer.layers.selection.active = active
        assert self.labels is not None
        targets.check_labels(self.labels, self.layout)
        return self.labels

    def _use_labels(self, layer: Labels | None) -> None:
        if self.labels is not None:
            self._connections.drop(self.labels)
            if self.labels in self.viewer.layers:
                self._watch_name(self.labels)
        self.labels = layer
        if layer is None or self._worker is None:
            return
        self._connections.add(layer, layer.events, "data", self._on_labels_data)
        self._connections.add(layer, layer.events, "selected_label", self._on_brush)
        if targets.ids_of(layer) is None:
            self._worker.scan(targets.token_of(layer), layer.data)

    def _watch_name(self, layer: Layer) -> None:
        if layer in self.viewer.layers:
            self._connections.add(layer, layer.events, "name", self._on_active)

    # ---- where the user looks -----------------------------------------------------------------------

    def plane(self) -> Plane | None:
        """Return the plane on screen; None (and a status) if there is none."""
        if self.image is None or self.layout is None:
            return None
        dims, image = self.viewer.dims, self.image
        displayed = [axis - (dims.ndim - image.ndim) for axis in dims.displayed]
        position = image.world_to_data(np.asarray(dims.point, dtype=float)[-image.ndim :])
        try:
            return self.layout.plane(displayed, list(position))
        except ImageError as error:
            self.status.warn(str(error))
            return None

    def _go_to(self, plane: Plane) -> None:
        """Move the sliders to a plane."""
        now = self.plane()
        if now is None or now == plane or now.axes != plane.axes or self.clicks is None:
            return
        world = self.clicks.layer.data_to_world(plane.point(0, 0))
        offset = self.viewer.dims.ndim - len(world)
        for axis, value in enumerate(world):
            if axis not in plane.axes and now.index[axis] != plane.index[axis]:
                self.viewer.dims.set_point(axis + offset, value)

    def _centre_of_view(self, plane: Plane) -> tuple[float, float]:
        if self.image is None or self.clicks is None:
            return plane.shape[0] / 2, plane.shape[1] / 2
        dims = self.viewer.dims
        world = np.array(dims.point, dtype=float)
        world[list(dims.displayed)] = self.viewer.camera.center[-len(dims.displayed) :]
        layer = self.clicks.layer
        point = layer.world_to_data(world[-layer.ndim :])
        row, column = plane.position(list(point))
        height, width = plane.shape
        return float(np.clip(row, 0, height - 1)), float(np.clip(column, 0, width - 1))

    def _number_under_cursor(self) -> int | None:
        if self.labels is None:
            return None
        layer, data = self.labels, self.labels.data
        position = np.asarray(self.viewer.cursor.position, dtype=float)[-layer.ndim :]
        if position.size != layer.ndim:
            return None
        at = tuple(round(float(i)) for i in layer.world_to_data(position))
        if not all(0 <= i < n for i, n in zip(at, data.shape, strict=True)):
            return None
        return int(data[at]) or None

    def _todo(self) -> str:
        state = self.session.state
        if self.image is None:
            return "Open an image: drop a file on the window, or File ▸ Open Sample ▸ Inter2Former."
        if self.layout is None:
            return "Choose another image."
        if self.viewer.dims.ndisplay != 2:
            return "Switch back to the 2-D view to click."
        if not self.clicking:
            return "Press 'Click objects' to go on."
        if state.clicks and state.mask is None:
            return "Your click is taken; its mask comes as soon as the image is prepared."
        if state.clicks:
            return "Correct the mask with more clicks, or press Enter to keep it."
        return "Click an object."


def _layout_of(image: Image, channel_axis: int | None) -> StackLayout:
    """Axes of the image, or an `ImageError` that says what is wrong with it."""
    finest = image.data[0] if image.multiscale else image.data
    if np.dtype(finest.dtype).kind not in "biuf":
        raise ImageError(
            f"'{image.name}' has the data type {finest.dtype}, which can't be shown as intensities. "
            "Convert it to real numbers first, for example with numpy.abs."
        )
    shape = tuple(int(n) for n in finest.shape)
    return StackLayout(shape[:-1] if image.rgb else shape, channel_axis, bool(image.rgb))
