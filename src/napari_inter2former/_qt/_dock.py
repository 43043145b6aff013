"""The dock widget: looks only; `Controller` does the work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeyEvent, QShowEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_inter2former._qt._bridge import Bridge
from napari_inter2former._qt._controller import Controller
from napari_inter2former._qt._keys import KEYS
from napari_inter2former._qt._own_layers import ADD_COLOUR, REMOVE_COLOUR
from napari_inter2former.annotation.labelling import Rule
from napari_inter2former.annotation.messages import Message
from napari_inter2former.annotation.worker import PredictorLike, Worker

__all__ = ["Inter2FormerWidget"]

REST_MS = 250  # the view rests when it hasn't moved for this long
TICK_MS = 100
NEW_LAYER = "New labels layer"
BUTTONS = {
    "accept": ("Accept", "Keep the mask as an object in the labels layer"),
    "discard": ("Discard", "Drop the current object's clicks and mask"),
    "undo": ("Undo", "Go one step back: clicks and accepted objects alike"),
    "redo": ("Redo", "Go one step forward again"),
    "reopen": ("Reopen", "Correct the accepted object under the cursor, or the last one"),
    "hide": ("Hide", "See the bare image while the key or button is held"),
}
COLOURS = {"info": "", "warning": "#f5b942", "error": "#ff6b5e"}


def make_predictor(name: str) -> PredictorLike:
    """Load a model; imports PyTorch, so it runs in the worker's thread."""
    from napari_inter2former.predictor import Predictor

    return Predictor(name)


def find_models() -> Sequence[str]:
    """Names of the models that are installed; runs in the worker's thread."""
    from napari_inter2former.weights import list_models

    return [model.name for model in list_models()]


class Inter2FormerWidget(QWidget):
    """Click objects in an image, get their masks, keep them as labels.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer to work in; napari passes it.
    predictor : callable, optional
        Makes a predictor from a model's name, in the worker's thread. By default
        `napari_inter2former.Predictor`.
    models : callable, optional
        Lists the models' names, in the worker's thread.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        predictor: Callable[[str], PredictorLike] = make_predictor,
        models: Callable[[], Sequence[str]] = find_models,
    ) -> None:
        super().__init__()
        self._bridge: Bridge | None = None
        self._docked = False

        def worker() -> Worker:
            assert self._bridge is not None
            return Worker(self._bridge.send, predictor, models)

        self.controller = Controller(viewer, worker, self._soon)
        self._held: Any = None
        self._encoding_since = 0.0
        self._tick = QTimer(self)
        self._tick.setInterval(TICK_MS)
        self._tick.timeout.connect(self._show_progress)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self.controller.look)
        self._build()
        # When the viewer goes, Qt deletes this widget without closing it first.
        self.destroyed.connect(self.controller.close)
        self._start()

    # ---- life -------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self.controller.is_open:
            return
        self._bridge = Bridge(self._receive, self)
        self.controller.changed.connect(self._render)
        self.controller.moved.connect(self._rest_again)
        self.controller.open()
        self._render()

    def _stop(self) -> None:
        self._tick.stop()
        self._rest.stop()
        self.controller.changed.disconnect()
        self.controller.moved.disconnect()
        if self._bridge is not None:
            self._bridge.close()
        self.controller.close()
        if self._bridge is not None:
            self._bridge.deleteLater()
            self._bridge = None

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        """Stop working when the widget is closed."""
        self._stop()
        super().closeEvent(event)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Work again when a closed widget is docked again."""
        self._docked = self._docked or self.parent() is not None
        self._start()
        super().showEvent(event)

    def event(self, event: QEvent) -> bool:
        """Notice that the dock was closed: napari then takes the widget out of it."""
        if event.type() == QEvent.Type.ParentChange and self.controller is not None:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self._docked = False
                self._stop()
        return bool(super().event(event))

    def _soon(self, call: Callable[[], None]) -> None:
        if self._bridge is not None:
            self._bridge.later(call)

    def _receive(self, message: Message) -> None:
        self.controller.receive(message)

    def _rest_again(self) -> None:
        self._rest.start()

    # ---- keys, when the dock has the focus ----------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """The keys work when the dock has the focus, too."""
        action = _action_of(event)
        if action is None:
            super().keyPressEvent(event)
        elif not event.isAutoRepeat():
            self._act(action, True)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """End a held key."""
        if event.key() == Qt.Key.Key_H and not event.isAutoRepeat():
            self.controller.hide(False)
        else:
            super().keyReleaseEvent(event)

    def _act(self, action: str, down: bool) -> None:
        if action == "hide":
            self.controller.hide(down)
        else:
            getattr(self.controller, action)()

    # ---- looks --------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.image_box = _combo("The image to annotate")
        self.channel_box = _combo("Use all channels along an axis together, or one plane at a time")
        self.model_box = _combo("The model that draws the masks")
        self.labels_box = _combo("The layer that accepted objects go to")
        self.rule_box = _combo("What happens where a new mask meets other objects")
        self.rule_box.addItem("Keep other objects", Rule.KEEP_OTHERS)
        self.rule_box.addItem("Replace other objects", Rule.REPLACE_OTHERS)
        self.form = form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        rows = (
            ("Image", self.image_box),
            ("Channels", self.channel_box),
            ("Model", self.model_box),
            ("Labels", self.labels_box),
            ("Overlaps", self.rule_box),
        )
        for name, box in rows:
            form.addRow(name, box)
        self.image_box.activated.connect(self._pick_image)
        self.channel_box.activated.connect(self._pick_channels)
        self.model_box.activated.connect(self._pick_model)
        self.labels_box.activated.connect(self._pick_labels)
        self.rule_box.activated.connect(self._pick_rule)

        self.progress = QProgressBar()
        self.progress.setTextVisible(True)
        policy = self.progress.sizePolicy()
        # Its place stays when it is hidden, so that nothing jumps.
        policy.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(policy)

        self.todo = QLabel()
        self.todo.setWordWrap(True)
        self.todo.setStyleSheet("font-size: 14px; font-weight: 600;")
        self.happened = QLabel()
        self.happened.setWordWrap(True)
        # Room for three lines: the buttons stay where they are.
        self.happened.setMinimumHeight(3 * self.happened.fontMetrics().lineSpacing())
        self.happened.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.go_on = _button("Click objects", "Make clicks on the image count again")
        self.go_on.clicked.connect(self.controller.go_on)

        legend = QLabel(
            f'<span style="color:{ADD_COLOUR}; font-size:15px">●</span> '
            "<b>Left click</b>: this belongs to the object<br>"
            f'<span style="color:{REMOVE_COLOUR}; font-size:15px">✖</span> '
            "<b>Right click</b> or <b>Shift+click</b>: this doesn't"
        )
        legend.setTextFormat(Qt.TextFormat.RichText)

        self.buttons = {name: _button(*texts) for name, texts in BUTTONS.items()}
        grid = QGridLayout()
        grid.setSpacing(6)
        shown = {key.action: key.shown for key in KEYS}
        for i, (name, button) in enumerate(self.buttons.items()):
            button.setText(f"{BUTTONS[name][0]}   [{shown[name]}]")
            if name == "hide":
                button.pressed.connect(lambda: self.controller.hide(True))
                button.released.connect(lambda: self.controller.hide(False))
            else:
                button.clicked.connect(getattr(self.controller, name))
            grid.addWidget(button, i // 2, i % 2)
        self.buttons["accept"].setStyleSheet(
            "QPushButton:enabled { background-color: #1d7f54; color: white; font-weight: 600; }"
            "QPushButton:enabled:hover { background-color: #239a66; }"
        )
        self.count = QLabel()

        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addLayout(form)
        layout.addWidget(_line())
        layout.addWidget(self.todo)
        layout.addWidget(self.progress)
        layout.addWidget(self.go_on)
        layout.addWidget(legend)
        layout.addLayout(grid)
        layout.addWidget(self.happened)
        layout.addWidget(self.count)
        layout.addStretch(1)

    def _render(self) -> None:
        """Show the controller's state."""
        it = self.controller
        images = it.images()
        _fill(self.image_box, [(layer.name, layer) for layer in images], it.image, "no image")
        self._render_channels()
        _fill(self.model_box, [(name, name) for name in it.models], it.model, "looking for models…")
        labels = [(NEW_LAYER, None), *((layer.name, layer) for layer in it.labels_layers())]
        _fill(self.labels_box, labels, it.labels)
        self.todo.setText(it.status.todo)
        self.happened.setText(it.status.happened)
        colour = COLOURS[it.status.kind]
        self.happened.setStyleSheet(f"color: {colour};" if colour else "")
        self.go_on.setVisible(it.image is not None and it.layout is not None and not it.clicking)
        session = it.session
        current = bool(session.state.clicks)
        self.buttons["accept"].setEnabled(current)
        self.buttons["discard"].setEnabled(current or session.state.reopened is not None)
        self.buttons["undo"].setEnabled(session.can_undo)
        self.buttons["redo"].setEnabled(session.can_redo)
        self.buttons["reopen"].setEnabled(bool(session.accepted))
        number = len(session.accepted)
        self.count.setText(f"Objects kept in this session: {number}" if number else "")
        self._render_progress()

    def _render_channels(self) -> None:
        it = self.controller
        image = it.image
        choices: list[tuple[str, Any]] = [("one plane at a time", None)]
        if image is not None and not image.rgb and image.ndim > 2:
            finest = image.data[0] if image.multiscale else image.data
            choices += [(f"axis {i} ({n} channels)", i) for i, n in enumerate(finest.shape)]
        _fill(self.channel_box, choices, it.channel_axis)
        shown = len(choices) > 1
        self.channel_box.setVisible(shown)
        self.form.labelForField(self.channel_box).setVisible(shown)

    def _render_progress(self) -> None:
        it = self.controller
        encoding = it.encoding is not None
        loading = it.model is not None and not it.model_ready and it.status.kind != "error"
        if encoding and not self._tick.isActive():
            self._encoding_since = time.monotonic()
            self._tick.start()
        elif not encoding:
            self._tick.stop()
        self.progress.setVisible(encoding or loading)
        if loading and not encoding:
            self.progress.setRange(0, 0)
            self.progress.setFormat("Loading the model")
        elif encoding:
            self._show_progress()

    def _show_progress(self) -> None:
        """Move the bar by the time that the last encoding took; the first one is unknown."""
        if self.controller.encoding is None:
            return
        expected = self.controller.encoding[1]
        passed = time.monotonic() - self._encoding_since
        if expected and passed < expected:
            self.progress.setRange(0, 100)
            self.progress.setValue(int(100 * passed / expected))
            self.progress.setFormat(f"Preparing the image, {expected - passed:.0f} s left")
        else:
            self.progress.setRange(0, 0)
            self.progress.setFormat("Preparing the image")

    # ---- choices ------------------------------------------------------------------------------------

    def _pick_image(self) -> None:
        self.controller.choose_image(self.image_box.currentData())

    def _pick_channels(self) -> None:
        self.controller.choose_channel_axis(self.channel_box.currentData())

    def _pick_model(self) -> None:
        name = self.model_box.currentData()
        if name is not None:
            self.controller.choose_model(name)

    def _pick_labels(self) -> None:
        self.controller.choose_labels(self.labels_box.currentData())
        self._render()

    def _pick_rule(self) -> None:
        self.controller.rule = self.rule_box.currentData()


def _action_of(event: QKeyEvent) -> str | None:
    """Which action the key of an event stands for."""
    modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    control = Qt.KeyboardModifier.ControlModifier
    table = {
        (Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier): "accept",
        (Qt.Key.Key_Enter, Qt.KeyboardModifier.NoModifier): "accept",
        (Qt.Key.Key_Escape, Qt.KeyboardModifier.NoModifier): "discard",
        (Qt.Key.Key_Z, control): "undo",
        (Qt.Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier): "redo",
        (Qt.Key.Key_G, Qt.KeyboardModifier.NoModifier): "reopen",
        (Qt.Key.Key_H, Qt.KeyboardModifier.NoModifier): "hide",
    }
    for (key, wanted), action in table.items():
        if event.key() == key and modifiers == wanted:
            return action
    return None


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    # The canvas keeps the focus, so the keys go on working after a click on a button.
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return button


def _combo(tip: str) -> QComboBox:
    box = QComboBox()
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(12)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return box


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    return line


def _fill(
    box: QComboBox, choices: Sequence[tuple[str, Any]], chosen: Any, nothing: str = ""
) -> None:
    """Show choices, unless the box shows exactly these already."""
    names = [name for name, _ in choices]
    same = [box.itemText(i) for i in range(box.count())] == names and all(
        box.itemData(i) is value for i, (_, value) in enumerate(choices)
    )
    box.blockSignals(True)
    if not same:
        box.clear()
        for name, value in choices:
            box.addItem(name, value)
    index = next((i for i, (_, value) in enumerate(choices) if value is chosen), -1)
    box.setCurrentIndex(index)
    box.setPlaceholderText(nothing)
    box.setEnabled(bool(choices))
    box.blockSignals(False)
