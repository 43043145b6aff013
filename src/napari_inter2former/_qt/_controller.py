"""What the widget does, without its looks: viewer events in; session, worker and layers out.

Everything in here runs on the window's thread and is quick: pixels are computed by the worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels
from psygnal import Signal

from napari_inter2former._qt import _places
from napari_inter2former._qt import _targets as targets
from napari_inter2former._qt._annotator import Annotator
from napari_inter2former._qt._contrast import CONTRAST_EVENTS, Contrast
from napari_inter2former._qt._link import WorkerLink
from napari_inter2former._qt._own_layers import TRANSFORM
from napari_inter2former._qt._searching import Searcher
from napari_inter2former.annotation import messages as say
from napari_inter2former.annotation.planes import read_clicks
from napari_inter2former.annotation.worker import Worker
from napari_inter2former.errors import ImageError, PromptError

__all__ = ["Controller"]


class Controller(Annotator):
    """The annotation loop on a viewer: life, choices, and what viewer and worker report.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are. `napari.components.ViewerModel` will do.
    make_worker : callable
        Makes a (not yet started) `Worker`, whose messages must come back through `receive`, on
        the window's thread.
    later : callable
        Runs a function soon, on the window's thread, when the present event is over.

    Attributes
    ----------
    moved : psygnal.Signal
        The view has moved; call `look` when it rests.
    channel_axis : int, optional
        The image axis that holds channels.
    search : Searcher
        Looks for all objects by itself.
    """

    moved = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        make_worker: Callable[[], Worker],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        super().__init__(viewer, later)
        self.search = Searcher(self)
        self.channel_axis: int | None = None
        self._make_worker = make_worker
        self._later = later

    # ---- life ------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the controller works."""
        return self.link is not None

    def open(self) -> None:
        """Start: connect to the viewer, start the worker, choose the active image."""
        if self.link is not None:
            return
        self.link = WorkerLink(self._make_worker(), self.scene)
        viewer, add = self.viewer, self._connections.add
        add(viewer, viewer.layers.events, "inserted", self._on_inserted)
        add(viewer, viewer.layers.events, "removed", self._on_removed)
        add(viewer, viewer.layers.events, "inserted removed", self._on_other)
        add(viewer, viewer.layers.selection.events, "active", self._on_shown)
        add(viewer, viewer.dims.events, "current_step order ndisplay", self._on_moved)
        add(viewer, _places.camera_of(viewer).events, "center zoom", self._on_camera)
        for layer in viewer.layers:
            self._watch(layer)
        self.choose_image(self.scene.likely_image())

    def close(self) -> None:
        """Stop: remove the own layers, disconnect, unbind, end the worker.

        Labels stay; clicks of an unfinished object go with their layer.
        """
        if self.link is None:
            return
        self._finish_object()
        self.found.finish()
        self.scene.hide(False)
        self._connections.clear()
        link, self.link = self.link, None
        self.scene.remove_own_layers()
        self.scene.image = self.scene.labels = self.scene.layout = None
        self.scene.drop_unused_labels()
        self.session.clear()
        link.close()

    # ---- choices ---------------------------------------------------------------------------------

    def choose_image(self, image: Image | None, channel_axis: int | None = None) -> None:
        """Annotate this image; its encoding starts in the background.

        With a `channel_axis`, all channels along it are used together.
        """
        scene = self.scene
        same = image is scene.image and channel_axis == self.channel_axis
        if same and image is not None and scene.clicks is not None:
            return
        dropped = self._leave_image()
        scene.image, self.channel_axis = image, channel_axis
        if image is None:
            scene.remove_own_layers()
            self.refresh()
            return
        self._connections.add(image, image.events, "data " + TRANSFORM, self._on_image_changed)
        try:
            scene.layout = _places.layout_of(image, channel_axis)
        except ImageError as error:
            scene.remove_own_layers()
            self.status.error(str(error))
            self.refresh()
            return
        scene.uncover(image)
        self._use_labels(scene.remembered_labels())
        self.status.info(dropped or f"This is '{image.name}'.")
        self._add_own_layers()
        self.look()
        self._later(self._prepare_labels)

    def choose_labels(self, layer: Labels | None) -> None:
        """Put accepted objects into this layer, or a new one.

        A layer that can't take them is refused: the status says why, the former choice stays.
        """
        if layer is self.scene.labels:
            return
        try:
            if layer is not None and self.scene.layout is not None:
                targets.check_labels(layer, self.scene.layout)
        except targets.LabelsRefusedError as error:
            self.status.error(str(error))
        else:
            self._use_labels(layer)
            if layer is not None:
                self.scene.remember_labels(layer)
                self.scene.raise_own_layers()
            self.scene.drop_unused_labels()
            self._prepare_labels()
            name = "a new labels layer" if layer is None else f"'{layer.name}'"
            self.status.info(f"Objects go to {name}.")
        self.refresh()

    def choose_contrast(self, contrast: Contrast) -> None:
        """Change which intensities the model sees; the current mask is computed anew."""
        if self.link is None or contrast is self.scene.contrast:
            return
        self.scene.contrast = contrast
        self.link.renew()
        self._ask(self.session.ask_again())
        self.refresh()

    def choose_model(self, name: str) -> None:
        """Change the model; clicks and labels stay, the current mask is computed anew."""
        if self.link is not None and name != self.link.model:
            self.link.load(name)
            self.status.info(f"Loading the model '{name}'.")
            self.refresh()

    def go_on(self) -> None:
        """Make the next click on the canvas count."""
        scene = self.scene
        if scene.layout is not None and (scene.clicks is None or scene.preview is None):
            self._add_own_layers()
        scene.activate()
        self.refresh()

    # ---- answers from the worker -----------------------------------------------------------------

    def receive(self, message: say.Message) -> None:
        """Take a message of the worker; on the window's thread only."""
        link, session = self.link, self.session
        if link is None or not link.take(message):
            return
        self.search.take(message)
        if isinstance(message, say.ModelsFound):
            name = link.pick()
            if name is not None:
                self.choose_model(name)
            elif not message.names:
                self.status.error(
                    "No model is installed; 'inter2former info' says where to put it."
                )
        elif isinstance(message, say.ModelReady):
            self.status.clear()
            self._ask(session.ask_again())
        elif isinstance(message, say.Predicted):
            if session.receive(message.request, message.mask):
                self.scene.show_mask(session.state, message.picture)
                self._accept_if_waiting()
        elif isinstance(message, say.Scanned):
            layer = targets.layer_of(message.target)
            if layer is not None:
                targets.set_ids(layer, message.largest)
                if layer is self.scene.labels:
                    self._accept_if_waiting()
        elif isinstance(message, say.Failed):
            if message.job == "predict" and message.number != session.request:
                return
            self._accept_waits = False
            self._unanswered |= message.job == "predict"
            if message.job == "scan":
                self._not_counted(targets.layer_of(message.number), message.reason)
                self.refresh()
                return
            prefix = {"model": "The model can't be loaded. ", "models": "No model was found. "}
            self.status.error(prefix.get(message.job, "") + message.reason)
        self.refresh()

    # ---- viewer events ---------------------------------------------------------------------------

    def _watch(self, layer: Any) -> None:
        """Follow what is shown of a layer: its name, and of images their contrast and colours."""
        self._connections.add(layer, layer.events, "name", self._on_shown)
        if isinstance(layer, Image):
            self._connections.add(layer, layer.events, CONTRAST_EVENTS, self._on_contrast)
            self._connections.add(layer, layer.events, "data " + TRANSFORM, self._on_other)

    def _on_contrast(self, _event: Any = None) -> None:
        """Contrast or colours have changed: where they count, the image is encoded again."""
        if self.link is not None and self.scene.contrast is not Contrast.PERCENTILES:
            self.link.renew()
            self.session.ask_again()
            # Not at every step of a slider: when it rests.
            self.moved.emit()
            self.refresh()

    def _on_other(self, event: Any) -> None:
        """Another image has come, gone or changed: it may be one of all visible ones."""
        known = (getattr(event, "value", None), event.source)
        layer = next((layer for layer in known if isinstance(layer, Image)), self.scene.image)
        if self.scene.contrast is Contrast.VISIBLE and layer is not self.scene.image:
            self._on_contrast()

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)
        if self.scene.image is None and isinstance(event.value, Image):
            # When napari has finished adding it.
            self._later(self._choose_some_image)
        elif self.scene.image is not None and isinstance(event.value, Image):
            self.status.info(
                f"'{event.value.name}' was added. Clicks still go to '{self.scene.image.name}': "
                "choose the other one under Image to go over to it."
            )
        self.refresh()

    def _on_removed(self, event: Any) -> None:
        scene = self.scene
        layer: Any = event.value
        self._connections.drop(layer)
        if layer is scene.image:
            self._leave_image()
            self.status.warn(f"'{event.value.name}' was removed. Its labels are kept.")
            # Not while napari is in the middle of removing layers.
            self._later(self._choose_some_image)
        elif layer is scene.labels:
            scene.labels = None
            self.status.warn("The labels layer was removed; the next object makes a new one.")
        elif scene.clicks is not None and layer is scene.clicks.layer:
            scene.clicks.release()
            scene.clicks = None
            dropped = self._finish_object()
            scene.show_mask(self.session.state)
            self.status.warn(f"The clicks layer was removed. {dropped}".rstrip())
        elif scene.preview is not None and layer is scene.preview.layer:
            scene.preview = None
            self.status.warn("The layer that shows the current object was removed.")
        self.refresh()

    def _choose_some_image(self) -> None:
        if self.link is not None and self.scene.image is None:
            said = (self.status.happened, self.status.kind)
            self.choose_image(self.scene.likely_image())
            if said[0] and self.status.kind != "error":
                self.status.happened, self.status.kind = said
                self.refresh()

    def _on_moved(self, _event: Any = None) -> None:
        self.moved.emit()
        self.refresh()

    def _on_camera(self, _event: Any = None) -> None:
        self.moved.emit()

    def _on_image_changed(self, event: Any) -> None:
        scene = self.scene
        if self.link is None or scene.image is None:
            return
        if event.type != "data":
            scene.follow_image(self.session.state)
            return
        self.link.renew()
        self.search.stop("The search was stopped, for the image has changed.")
        try:
            layout = _places.layout_of(scene.image, self.channel_axis)
        except ImageError:
            layout = None
        if layout is None or layout != scene.layout:
            image, scene.image = scene.image, None
            self._connections.drop(image)
            self._later(lambda: self.choose_image(image))
        else:
            self._ask(self.session.ask_again())
            self.refresh()

    def _on_points(self, event: Any = None) -> None:
        """Points were added, moved, deleted, pasted, or their features edited: by the user."""
        clicks, session = self.scene.clicks, self.session
        # napari announces a change before ("adding") and after it ("added").
        if clicks is None or clicks.quiet or str(getattr(event, "action", "")).endswith("ing"):
            return
        plane = session.state.plane or self.scene.plane()
        try:
            if plane is None:
                raise PromptError(self.scene.why_no_plane())
            data, positive = clicks.read()
            if positive and not any(positive):
                raise PromptError("Left-click the object: other clicks only take away from it.")
            step = self.set_clicks(read_clicks(plane, data, positive), plane, "click")
        except PromptError as error:
            self.status.warn(str(error))
            clicks.show(session.state.clicks, session.state.plane)
        else:
            # A selected point looks neither like one kind nor the other. napari selects a new one
            # before it announces new features, and after it has announced new data.
            clicks.deselect()
            if step is None:
                return
            self._later(clicks.deselect)
            clicks.style(positive)
            self.status.clear()
            self._ask(step.request)
        self.refresh()

    # ---- layers ----------------------------------------------------------------------------------

    def _add_own_layers(self) -> None:
        new = self.scene.add_own_layers(self)
        clicks = self.scene.clicks
        assert clicks is not None
        if new:
            events = clicks.layer.events
            self._connections.add(clicks.layer, events, "data features", self._on_points)
            self._connections.add(clicks.layer, events, "mode", self._on_shown)
        self.scene.show(self.session.state)
        self.scene.activate()

    def _leave_image(self) -> str:
        """Forget the image and its session; its labels stay in the viewer.

        Returns what became of the current object, in words.
        """
        scene = self.scene
        dropped = self._finish_object()
        if scene.image is not None:
            self._connections.drop(scene.image)
            if scene.image in self.viewer.layers:
                self._watch(scene.image)
        scene.hide(False)
        scene.image = scene.layout = self.channel_axis = None
        self.search.stop("The search was stopped.")
        self.session.clear()
        scene.show(self.session.state)
        self._use_labels(None)
        # Not while napari is in the middle of removing layers.
        self._later(scene.drop_unused_labels)
        if self.link is not None:
            self.link.forget()
        return dropped

    def _prepare_labels(self) -> None:
        """Make the labels layer before it is needed: napari takes long over that."""
        scene = self.scene
        if self.link is not None and scene.layout is not None and scene.labels is None:
            self.labels_layer()
            self.refresh()
