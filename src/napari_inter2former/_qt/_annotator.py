"""The work on one image: clicks to masks, masks to labels, and back again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal

from napari_inter2former._qt import _places
from napari_inter2former._qt import _targets as targets
from napari_inter2former._qt._boxes import BoxDrawer
from napari_inter2former._qt._connections import Connections
from napari_inter2former._qt._link import WorkerLink
from napari_inter2former._qt._saving import Saver
from napari_inter2former._qt._scene import Scene
from napari_inter2former._qt._status import Status, todo
from napari_inter2former._qt._writing import FoundWriter
from napari_inter2former.annotation.found import FoundObjects
from napari_inter2former.annotation.labelling import LabelEdit, OutOfIdsError, Rule, piece_at
from napari_inter2former.annotation.objects import Accepted, Write
from napari_inter2former.annotation.planes import Plane
from napari_inter2former.annotation.session import NothingToAcceptError, Session, Step
from napari_inter2former.errors import PromptError
from napari_inter2former.prompts import Click, in_box

__all__ = ["Annotator"]


class Annotator:
    """What buttons and keys do.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are. `napari.components.ViewerModel` will do.
    later : callable
        Runs a function soon, on the window's thread, when the present event is over.

    Attributes
    ----------
    changed : psygnal.Signal
        Something that the widget shows has changed.
    scene, session, status : Scene, Session, Status
        The layers, the work, the words.
    link : WorkerLink, optional
        The worker, while the widget is open.
    rule : Rule
        What happens where a new mask meets other objects.
    found : FoundWriter
        Writes what a search found.
    boxes : BoxDrawer
        Draws boxes with the mouse.
    saver : Saver
        Writes labels and clicks to files.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, later: Callable[[Callable[[], None]], None]) -> None:
        self.viewer = viewer
        self.scene = Scene(viewer)
        self.session = Session()
        self.status = Status()
        self.link: WorkerLink | None = None
        self.rule = Rule.KEEP_OTHERS
        self.found = FoundWriter(viewer, later, self._failed)
        self.boxes = BoxDrawer(self)
        self.saver = Saver(self)
        self._connections = Connections()
        self._accept_waits = self._unanswered = False

    def refresh(self) -> None:
        """Work out what to tell the user, and announce the change."""
        if self.link is not None:
            self.status.todo = todo(
                self.scene, self.session.state, self.link.model_ready, self.boxes.on
            )
            self.changed.emit()

    def accept(self) -> None:
        """Keep the current mask as an object."""
        try:
            step = self._accept()
        except (NothingToAcceptError, OutOfIdsError, targets.LabelsRefusedError) as error:
            waits = self.session.pending
            if waits:
                self._accept_waits = True
                if self._unanswered:
                    self._ask(self.session.retry())
                self.status.info("Enter is taken: the object is kept when its mask is there.")
            else:
                self.status.warn(str(error))
        else:
            if step is None:
                self._accept_waits = True
                self.status.info("Counting the labels that are there; then the object is kept.")
            else:
                self._after(step)
        self.refresh()

    def _accept(self) -> Step | None:
        mask = self.session.check_accept()
        state, scene = self.session.state, self.scene
        assert state.plane is not None
        assert scene.layout is not None
        labels = self.labels_layer()
        targets.check_labels(labels, scene.layout)
        ids, token = targets.ids_of(labels), targets.token_of(labels)
        if ids is None:
            return None
        again = state.reopened
        same = again is not None and again.target == token
        number = again.number if again is not None and same else ids.check()
        view = targets.read_box(labels, state.plane, mask.box)
        step = self.session.accept(view, number, token, self.rule)
        ids.reserve(number)
        assert step.write is not None
        edit = step.write.edit
        assert isinstance(edit, LabelEdit)
        self.status.accepted(number, edit.area, edit.left_alone)
        return step

    def discard(self) -> None:
        """Drop the current object."""
        again = self.session.state.reopened
        done = "Discarded. Undo brings it back."
        if again is not None:
            done = f"Object {again.number} is as it was before it was opened again."
        self._travel(self.session.discard(), done, "Nothing to drop.")

    def undo(self) -> None:
        """Go one step back, over clicks and accepted objects."""
        self._travel(self.session.undo(), "Undone: {name}.", "Nothing to undo.")

    def redo(self) -> None:
        """Go one step forward again."""
        self._travel(self.session.redo(), "Done again: {name}.", "Nothing to redo.")

    def reopen(self) -> None:
        """Open the accepted object under the cursor (or else the last one) for corrections."""
        labels, step = self.scene.labels, None
        nothing = "There is no object under the mouse, and none that was accepted to open again."
        record = None
        if labels is not None:
            record = self._under_cursor(labels) or self._last(labels)
        try:
            step = self.session.reopen(record) if record is not None else None
        except NothingToAcceptError as error:
            nothing = str(error)
        number = record.number if record is not None else 0
        again = f"Object {number} is open again. Enter keeps the changes, Esc drops them."
        self._travel(step, again, nothing)

    def remove(self) -> None:
        """Take the object under the cursor out of the labels; or selected points out of theirs."""
        clicks, labels = self.scene.clicks, self.scene.labels
        if clicks is not None and clicks.layer.selected_data:
            clicks.layer.remove_selected()
            return
        record = self._under_cursor(labels) if labels is not None else None
        step = self.session.remove(record) if record is not None else None
        if record is None or step is None or step.write is None:
            self.status.warn("There is no object under the mouse to remove.")
        else:
            self.status.info(f"Object {record.number} was removed. Undo brings it back.")
            self._write(step.write)
        self.refresh()

    def _last(self, labels: Labels) -> Accepted | None:
        """Return the last object that was accepted into these labels."""
        token = targets.token_of(labels)
        records = reversed(self.session.accepted.values())
        record = next((record for record in records if record.target == token), None)
        return self._as_it_is(labels, record) if record is not None else None

    def _as_it_is(self, labels: Labels, record: Accepted) -> Accepted:
        """Return an accepted object as the labels have it now: the user may have erased of it."""
        plane = record.state.plane
        assert plane is not None
        return record.as_it_is(targets.read_box(labels, plane, record.edit.box))

    def _under_cursor(self, labels: Labels) -> Accepted | None:
        """Return the object under the mouse; as if it were one click, if that is not known."""
        plane = self.scene.plane()
        index = _places.index_under_cursor(self.viewer, labels)
        if plane is None or index is None:
            return None
        row, column = (index[axis] for axis in plane.axes)
        number = int(targets.read_box(labels, plane, (row, column, row + 1, column + 1))[0, 0])
        if number == 0:
            return None  # the mouse was last seen on another plane
        record = self.session.accepted.get((targets.token_of(labels), plane, number))
        if record is not None and record.holds(row, column):
            return self._as_it_is(labels, record)
        box, data = piece_at(partial(targets.read_box, labels, plane), plane.shape, row, column)
        return Accepted.of_labels(targets.token_of(labels), plane, box, data)

    def hide(self, hidden: bool) -> None:
        """Hide masks, labels and clicks while held, to see the bare image."""
        self.scene.hide(hidden)

    def toggle_boxes(self) -> None:
        """Let a drag on the image draw a box round an object, or move the view again."""
        self.boxes.on = not self.boxes.on
        if self.boxes.on:
            self.scene.activate()
            self.status.info("A drag draws a box round an object. Hold Space to move the view.")
        else:
            self.status.info("A drag moves the view.")
        self.refresh()

    def surround(self, corners: tuple[Click, ...], plane: Plane) -> None:
        """Put a box round the current object, or begin an object with one.

        Raises
        ------
        PromptError
            If the object takes no further clicks.
        """
        step = self.set_clicks(in_box(self.session.state.clicks, corners), plane, "box")
        if step is not None:
            self.status.clear()
            self._after(step)

    def set_clicks(self, clicks: tuple[Click, ...], plane: Plane, name: str) -> Step | None:
        """Replace the current object's clicks, see `Session.set_clicks`.

        Raises
        ------
        PromptError
            If the object takes no further clicks.
        """
        if self._accept_waits:
            # With further clicks it would be another object, or two in one.
            raise PromptError(
                "Enter is taken, but the object's mask isn't there yet. "
                "Click the next object when it is kept."
            )
        return self.session.set_clicks(clicks, plane, name)

    def look(self) -> None:
        """Hand the visible plane to the worker, and encode what is visible."""
        self._look()
        self.refresh()

    def _look(self) -> None:
        state = self.session.state
        plane = state.plane or self.scene.plane()
        if self.link is not None and plane is not None:
            if self.session.pending and self.link.renewed:
                # The mask was asked for of an image that the worker forgets now.
                self.link.predict(self.session.request, plane, state.clicks)
            else:
                self.link.look_at(plane, self.scene.centre(plane))

    # ---- steps -----------------------------------------------------------------------------------

    def _travel(self, step: Step | None, done: str, nothing: str) -> None:
        if step is None:
            self.status.warn(nothing)
        else:
            self.status.info(done.format(name=step.name))
            plane = self._after(step)
            if plane is not None:
                self.scene.go_to(plane)
        self.refresh()

    def _after(self, step: Step) -> Plane | None:
        """Bring labels, points and mask to where the session is; return the plane of the change."""
        self._accept_waits = False
        if step.write is not None:
            self._write(step.write)
        state = self.session.state
        self.scene.show(state)
        self._ask(step.request)
        return state.plane or (step.write.plane if step.write is not None else None)

    def _finish_object(self) -> str:
        """Drop the current object; one that was opened again goes back into the labels.

        Whatever takes the session, the image or the clicks away calls this first. Returns what
        became of the object, in words.
        """
        self._accept_waits = False
        reopened = self.session.state.reopened
        step = self.session.discard()
        if step is None:
            return ""
        if step.write is None or reopened is None:
            return "The unfinished object was discarded."
        self._write(step.write)
        return f"Object {reopened.number} is as it was before it was opened again."

    def _write(self, write: Write) -> None:
        layer = targets.layer_of(write.target)
        if layer is None or layer not in self.viewer.layers:
            self.status.warn("The labels layer of that object is gone; only the clicks changed.")
            return
        if isinstance(write.edit, FoundObjects):
            self.found.write(layer, write.plane, write.edit, write.forward)
            return
        try:
            targets.write_edit(layer, write)
        except (IndexError, OSError, TypeError, ValueError) as error:
            self.status.error(f"'{layer.name}' can't be written to: {error}")

    def _ask(self, request: int | None) -> None:
        """Ask for the mask of the present clicks; without any, show that and get ready.

        Whoever calls this refreshes.
        """
        state = self.session.state
        if self.link is not None and request is not None and state.plane is not None:
            self._unanswered = False
            self.link.predict(request, state.plane, state.clicks)
        elif not state.clicks:
            self.scene.show_mask(state)
            self._look()

    def _accept_if_waiting(self) -> None:
        if self._accept_waits:
            self._accept_waits = False
            self.accept()

    # ---- labels ----------------------------------------------------------------------------------

    def labels_layer(self) -> Labels:
        """Return the layer that objects go to; made now if there is none."""
        if self.scene.labels is None:
            self._use_labels(self.scene.add_labels(), new=True)
            self.scene.remember_labels(self.scene.labels)
        labels = self.scene.labels
        assert labels is not None
        return labels

    def _failed(self, reason: str) -> None:
        self.status.error(reason)
        self.refresh()

    def _use_labels(self, layer: Labels | None, new: bool = False) -> None:
        """Send objects to this layer; unless it is new and empty, its labels are counted."""
        old = self.scene.labels
        if old is not None:
            self._connections.drop(old)
            if old in self.viewer.layers:
                self._connections.add(old, old.events, "name", self._on_shown)
        self.scene.labels = layer
        if layer is not None and self.link is not None:
            self._connections.add(layer, layer.events, "data", self._on_labels_data)
            # Painting as well: the number that the brush has at first is not announced.
            self._connections.add(layer, layer.events, "selected_label paint", self._on_brush)
            if not new:
                # Even if that was done before: nobody watched meanwhile what was painted.
                self.link.count(layer)

    def _not_counted(self, layer: Labels | None, reason: str) -> None:
        """Give up a labels layer whose free numbers can't be found out."""
        if self.scene.labels is not layer or layer is None:
            return
        self._use_labels(None)
        self.status.error(
            f"'{layer.name}' can't be read ({reason}). Objects go to a new labels layer."
        )

    def _on_labels_data(self, _event: Any = None) -> None:
        """All labels were replaced (converted, for one): check and count again."""
        labels, layout = self.scene.labels, self.scene.layout
        if labels is None or layout is None or self.link is None:
            return
        try:
            targets.check_labels(labels, layout)
        except targets.LabelsRefusedError as error:
            self._use_labels(None)
            self.status.error(str(error))
        else:
            self.link.count(labels)
        self.refresh()

    def _on_brush(self, _event: Any = None) -> None:
        """Take the number of the user's brush as used, so it is never given out."""
        labels = self.scene.labels
        if labels is not None:
            targets.reserve(labels, int(labels.selected_label))

    def _on_shown(self, _event: Any = None) -> None:
        self.refresh()
