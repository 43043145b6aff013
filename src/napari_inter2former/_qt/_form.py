"""How the dock widget looks, and how it shows the controller's state."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from math import ceil
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
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

from napari_inter2former._qt._contrast import Contrast
from napari_inter2former._qt._controller import Controller
from napari_inter2former._qt._keys import KEYS
from napari_inter2former._qt._own_layers import ADD_COLOUR, REMOVE_COLOUR
from napari_inter2former.annotation.labelling import Rule

__all__ = ["Form"]

TICK_MS = 100
NEW_LAYER = "New labels layer"
BUTTONS = {
    "accept": ("Accept", "Keep the mask as an object in the labels layer"),
    "discard": ("Discard", "Drop the current object's clicks and mask"),
    "undo": ("Undo", "Go one step back: clicks and accepted objects alike"),
    "redo": ("Redo", "Go one step forward again"),
    "reopen": ("Reopen", "Correct the accepted object under the cursor, or the last one"),
    "remove": ("Remove", "Take the object under the cursor out of the labels"),
    "hide": ("Hide", "See the bare image while the key or button is held"),
    "toggle_boxes": ("Draw boxes", "Let a drag on the image draw a box round an object"),
}
SEARCHES = {
    "view": ("Find objects in view", "Find all objects on screen, without clicks"),
    "image": ("in the whole image", "Find all objects of the whole plane, without clicks"),
}
COLOURS = {"info": "", "warning": "#f5b942", "error": "#ff6b5e"}


class Form(QWidget):
    """Boxes, buttons and words; choices and buttons call the controller.

    Parameters
    ----------
    controller : Controller
        What is shown and called.
    """

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self.controller = controller
        self._encoding_since = 0.0
        self._tick = QTimer(self)
        self._tick.setInterval(TICK_MS)
        self._tick.timeout.connect(self._show_progress)
        self._build()

    def _build(self) -> None:
        form = self._build_boxes()
        self._build_words()
        grid = self._build_buttons()
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addLayout(form)
        layout.addWidget(_line())
        layout.addWidget(self.todo)
        layout.addWidget(self.progress)
        layout.addWidget(self.go_on)
        layout.addWidget(self.legend)
        layout.addLayout(grid)
        layout.addWidget(self.happened)
        layout.addWidget(self.count)
        layout.addStretch(1)

    def _build_boxes(self) -> QFormLayout:
        self.image_box = _combo("The image to annotate")
        self.channel_box = _combo("Use all channels along an axis together, or one plane at a time")
        self.contrast_box = _combo("Which intensities the model sees")
        self.contrast_box.addItem("Automatic", Contrast.PERCENTILES)
        self.contrast_box.addItem("As displayed", Contrast.DISPLAYED)
        self.contrast_box.addItem("All visible images", Contrast.VISIBLE)
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
            ("Contrast", self.contrast_box),
            ("Model", self.model_box),
            ("Labels", self.labels_box),
            ("Overlaps", self.rule_box),
        )
        for name, box in rows:
            form.addRow(name, box)
        self.image_box.activated.connect(self._pick_image)
        self.channel_box.activated.connect(self._pick_channels)
        self.contrast_box.activated.connect(self._pick_contrast)
        self.model_box.activated.connect(self._pick_model)
        self.labels_box.activated.connect(self._pick_labels)
        self.rule_box.activated.connect(self._pick_rule)

        return form

    def _build_words(self) -> None:
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

        self.legend = QLabel(
            f'<span style="color:{ADD_COLOUR}; font-size:15px">●</span> '
            "<b>Left click</b>: this belongs to the object<br>"
            f'<span style="color:{REMOVE_COLOUR}; font-size:15px">✖</span> '
            "<b>Right click</b> or <b>Shift+click</b>: this doesn't"
        )
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.count = QLabel()

    def _build_buttons(self) -> QGridLayout:
        self.buttons = {name: _button(*texts) for name, texts in BUTTONS.items()}
        grid = QGridLayout()
        grid.setSpacing(6)
        keys = {key.action: key for key in KEYS}
        for i, (name, button) in enumerate(self.buttons.items()):
            button.setText(f"{BUTTONS[name][0]}   [{keys[name].shown}]")
            action = getattr(self.controller, name)
            if keys[name].hold:
                button.pressed.connect(partial(action, True))
                button.released.connect(partial(action, False))
            else:
                button.clicked.connect(action)
            grid.addWidget(button, i // 2, i % 2)
        self.buttons["toggle_boxes"].setCheckable(True)
        self.search = {
            "view": _button(*SEARCHES["view"]),
            "image": _button(*SEARCHES["image"]),
        }
        row = grid.rowCount()
        for column, (name, button) in enumerate(self.search.items()):
            button.clicked.connect(getattr(self.controller.search, f"in_{name}"))
            grid.addWidget(button, row, column)
        self.save = _button("Save labels and clicks…", "Write them to a TIFF and a CSV file")
        self.save.clicked.connect(self._pick_file)
        grid.addWidget(self.save, row + 1, 0, 1, 2)
        self.buttons["accept"].setStyleSheet(
            "QPushButton:enabled { background-color: #1d7f54; color: white; font-weight: 600; }"
            "QPushButton:enabled:hover { background-color: #239a66; }"
        )
        return grid

    def render_state(self) -> None:
        """Show the controller's state."""
        it = self.controller
        scene, link = it.scene, it.link
        if link is None:
            return
        images = scene.images()
        _fill(self.image_box, [(layer.name, layer) for layer in images], scene.image, "no image")
        self._render_channels()
        _fill(
            self.model_box,
            [(name, name) for name in link.models],
            link.model,
            "looking for models…",
        )
        labels = [(NEW_LAYER, None), *((layer.name, layer) for layer in scene.labels_layers())]
        _fill(self.labels_box, labels, scene.labels)
        self.todo.setText(it.status.todo)
        self.happened.setText(it.status.happened)
        colour = COLOURS[it.status.kind]
        style = f"color: {colour};" if colour else ""
        if self.happened.styleSheet() != style:  # Qt works it out anew each time
            self.happened.setStyleSheet(style)
        self.go_on.setVisible(scene.layout is not None and not scene.clicking)
        session = it.session
        current = bool(session.state.clicks)
        self.buttons["accept"].setEnabled(current)
        self.buttons["discard"].setEnabled(current or session.state.reopened is not None)
        self.buttons["undo"].setEnabled(session.can_undo)
        self.buttons["redo"].setEnabled(session.can_redo)
        self.buttons["reopen"].setEnabled(bool(session.accepted))
        self.buttons["remove"].setEnabled(scene.labels is not None)
        self.buttons["toggle_boxes"].setEnabled(scene.layout is not None)
        self.buttons["toggle_boxes"].setChecked(it.boxes.on)
        self._render_search()
        self.save.setEnabled(scene.labels is not None and not it.saver.busy)
        number = len(session.accepted)
        self.count.setText(f"Objects kept in this session: {number}" if number else "")
        self._render_progress()

    def _render_channels(self) -> None:
        it = self.controller
        image = it.scene.image
        choices: list[tuple[str, Any]] = [("one plane at a time", None)]
        if image is not None and not image.rgb and image.ndim > 2:
            finest = image.data[0] if image.multiscale else image.data
            choices += [(f"axis {i} ({n} channels)", i) for i, n in enumerate(finest.shape)]
        _fill(self.channel_box, choices, it.channel_axis)
        shown = len(choices) > 1
        self.channel_box.setVisible(shown)
        self.form.labelForField(self.channel_box).setVisible(shown)

    def _render_search(self) -> None:
        it = self.controller
        ready = it.link is not None and it.link.model_ready and it.scene.layout is not None
        texts = {name: text for name, (text, _) in SEARCHES.items()}
        progress = it.search.progress
        if progress is not None:
            done, total = progress
            texts["view"] = f"Stop searching ({done} of {total})" if total else "Stop searching"
        for name, button in self.search.items():
            button.setText(texts[name])
            button.setEnabled(ready and (name == "view" or progress is None))

    def _render_progress(self) -> None:
        link = self.controller.link
        if link is None:
            return
        encoding = link.encoding
        failed = self.controller.status.kind == "error"
        loading = link.model is not None and not link.model_ready and not failed
        if encoding and not self._tick.isActive():
            self._encoding_since = time.monotonic()
            self._tick.start()
        elif not encoding:
            self._tick.stop()
        self.progress.setVisible(encoding or loading)
        if loading and not encoding:
            self._set_progress(None, "Loading the model")
        elif encoding:
            self._show_progress()

    def _show_progress(self) -> None:
        """Move the bar by the time that the last encoding took; the first one is unknown."""
        link = self.controller.link
        if link is None:
            return
        expected = link.encode_seconds
        passed = time.monotonic() - self._encoding_since
        if expected and passed < expected:
            left = f"Preparing the image, {ceil(expected - passed)} s left"
            self._set_progress(int(100 * passed / expected), left)
        else:
            self._set_progress(None, "Preparing the image")

    def _set_progress(self, percent: int | None, text: str) -> None:
        # A bar paints itself at once, and with it all of the window that is due, unless it can't.
        self.progress.setUpdatesEnabled(False)
        self.progress.setRange(0, 0 if percent is None else 100)
        if percent is not None:
            self.progress.setValue(percent)
        self.progress.setFormat(text)
        self.progress.setUpdatesEnabled(True)

    # ---- choices ---------------------------------------------------------------------------------

    def _pick_image(self) -> None:
        self.controller.choose_image(self.image_box.currentData())

    def _pick_channels(self) -> None:
        self.controller.choose_image(self.controller.scene.image, self.channel_box.currentData())

    def _pick_contrast(self) -> None:
        self.controller.choose_contrast(self.contrast_box.currentData())

    def _pick_model(self) -> None:
        name = self.model_box.currentData()
        if name is not None:
            self.controller.choose_model(name)

    def _pick_labels(self) -> None:
        self.controller.choose_labels(self.labels_box.currentData())

    def _pick_file(self) -> None:
        saver = self.controller.saver
        place = str(saver.suggestion())
        name, _ = QFileDialog.getSaveFileName(self, "Save labels", place, "TIFF (*.tif *.tiff)")
        if name:
            saver.save(name)

    def _pick_rule(self) -> None:
        self.controller.rule = self.rule_box.currentData()


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
    values = [value for _, value in choices]
    index = values.index(chosen) if chosen in values else -1
    box.setCurrentIndex(index)
    box.setPlaceholderText(nothing)
    box.setEnabled(bool(choices))
    box.blockSignals(False)
