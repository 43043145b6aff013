"""The dock widget: looks only; `Controller` does the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeyEvent

from napari_inter2former._qt._bridge import Bridge
from napari_inter2former._qt._controller import Controller
from napari_inter2former._qt._form import Form
from napari_inter2former._qt._keys import KEYS, Key
from napari_inter2former.annotation.worker import PredictorLike, Worker

__all__ = ["Inter2FormerWidget"]

REST_MS = 250  # the view rests when it hasn't moved for this long


def make_predictor(name: str) -> PredictorLike:
    """Load a model; imports PyTorch, so it runs in the worker's thread.

    Windows that ``inter2former precompute`` has encoded are found; no disk is filled unasked.
    """
    from napari_inter2former.predictor import DiskCache, Predictor

    return Predictor(name, disk_cache=DiskCache(read_only=True))


def find_models() -> Sequence[str]:
    """Names of the models that are installed; runs in the worker's thread."""
    from napari_inter2former.weights import list_models

    return [model.name for model in list_models()]


class Inter2FormerWidget(Form):
    """Click objects in an image, get their masks, keep them as labels.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer to work in; napari passes it by this name.
    predictor : callable, optional
        Makes a predictor from a model's name, in the worker's thread. By default
        `napari_inter2former.Predictor`.
    models : callable, optional
        Lists the models' names, in the worker's thread.
    """

    _docked = False

    def __init__(
        self,
        napari_viewer: ViewerModel,
        predictor: Callable[[str], PredictorLike] = make_predictor,
        models: Callable[[], Sequence[str]] = find_models,
    ) -> None:
        bridge = Bridge()

        def worker() -> Worker:
            return Worker(bridge.send, predictor, models)

        # napari hands plugins a proxy, and each look through it makes another proxy of the same
        # layer; layers are told apart by identity here, so the viewer itself is needed.
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        super().__init__(Controller(viewer, worker, bridge.later))
        self._bridge = bridge
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self.controller.look)
        # When the viewer goes, Qt deletes this widget without closing it first.
        self.destroyed.connect(partial(_stop, self.controller, bridge))
        self._start()

    # ---- life ------------------------------------------------------------------------------------

    def _start(self) -> None:
        if not self.controller.is_open:
            self._bridge.open(self.controller.receive)
            self.controller.changed.connect(self.render_state)
            self.controller.moved.connect(self._rest_again)
            self.controller.open()
            self.render_state()

    def _stop(self) -> None:
        self._tick.stop()
        self._rest.stop()
        _stop(self.controller, self._bridge)

    def closeEvent(self, event: Any) -> None:
        """Stop working when the widget is closed."""
        self._stop()
        super().closeEvent(event)

    def event(self, event: QEvent) -> bool:
        """Notice docking and undocking: to close a dock, napari takes the widget out of it."""
        if event.type() == QEvent.Type.ParentChange and hasattr(self, "controller"):
            if self.parent() is not None:
                self._docked = True
                self._start()
            elif self._docked:
                self._docked = False
                self._stop()
        return bool(super().event(event))

    def _rest_again(self) -> None:
        self._rest.start()

    # ---- keys, when the dock has the focus -------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Do what the keys do, when the dock has the focus."""
        key = next((key for key in KEYS if _qt_key(key) == _pressed(event)), None)
        if key is None:
            super().keyPressEvent(event)
        elif not event.isAutoRepeat():
            getattr(self.controller, key.action)(*([True] if key.hold else []))

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """End a held key."""
        # Whatever else is held by now: what the key began has to end with it.
        held = [key for key in KEYS if key.hold and _qt_key(key)[0] == event.key()]
        if not held:
            super().keyReleaseEvent(event)
        elif not event.isAutoRepeat():
            for key in held:
                getattr(self.controller, key.action)(False)


def _stop(controller: Controller, bridge: Bridge) -> None:
    """End everything; needs no widget, which may be gone already."""
    bridge.close()
    controller.changed.disconnect()
    controller.moved.disconnect()
    controller.close()


def _qt_key(key: Key) -> tuple[Qt.Key, Qt.KeyboardModifier]:
    """Return a key as Qt has it; napari calls all of them by Qt's names."""
    *held, name = key.napari.split("-")
    modifiers = Qt.KeyboardModifier.NoModifier
    for modifier in held:
        modifiers |= getattr(Qt.KeyboardModifier, f"{modifier}Modifier")
    return getattr(Qt.Key, f"Key_{name}"), modifiers


def _pressed(event: QKeyEvent) -> tuple[int, Qt.KeyboardModifier]:
    """Return the key of an event; Enter is the same wherever it is on the keyboard."""
    key = Qt.Key.Key_Enter if event.key() == Qt.Key.Key_Return else event.key()
    return key, event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
