"""The two layers that belong to the widget: the clicks, and the current object's mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels, Layer, Points
from napari.utils import DirectLabelColormap

from napari_inter2former._qt._keys import KEYS
from napari_inter2former.annotation.pictures import picture_step
from napari_inter2former.annotation.planes import Plane, StackLayout
from napari_inter2former.prompts import Click

__all__ = ["MARK", "ClicksLayer", "PreviewLayer", "lies_on", "set_transform", "transform_of"]

MARK = "napari-inter2former"
"""Key in ``layer.metadata`` of the layers that the widget owns."""

# Told apart without colours by the symbol, and by the colour-blind by lightness.
ADD_COLOUR, REMOVE_COLOUR = "#35e08d", "#ff5a36"
ADD_SYMBOL, REMOVE_SYMBOL = "disc", "x"
MASK_COLOUR = (0.0, 0.9, 1.0)
TRANSFORM = "scale translate rotate shear affine"


class Look(NamedTuple):
    """Of a point."""

    symbol: str
    colour: str
    size: int

    @property
    def rgba(self) -> tuple[float, ...]:
        """The colour, each part from 0 to 1."""
        return (*(int(self.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0)


LOOKS = {True: Look(ADD_SYMBOL, ADD_COLOUR, 8), False: Look(REMOVE_SYMBOL, REMOVE_COLOUR, 11)}
"""By whether a click is foreground."""


def transform_of(image: Image, layout: StackLayout) -> dict[str, Any]:
    """Keyword arguments that put a layer on the annotation axes exactly over the image."""
    drop = int(layout.drops_channel)
    found: dict[str, Any] = {
        "scale": np.array(image.scale, dtype=float)[drop:],
        "translate": np.array(image.translate, dtype=float)[drop:],
        "rotate": np.asarray(image.rotate)[drop:, drop:],
        "shear": _shear(image)[drop:, drop:],
        "affine": image.affine.affine_matrix[drop:, drop:],
    }
    if layout.channel_axis is not None and not drop:
        # One slice as thick as all channels together, so that it shows on each of them.
        axis, count = layout.channel_axis, layout.shape[layout.channel_axis]
        found["translate"][axis] += found["scale"][axis] * (count - 1) / 2
        found["scale"][axis] *= count
    if hasattr(image, "units"):
        found["units"] = image.units[drop:]
    return found


def set_transform(layer: Layer, transform: dict[str, Any]) -> None:
    """Set what differs: each setting redraws the layer, even if nothing changes."""
    for name, value in transform.items():
        now: Any = _shear(layer) if name == "shear" else getattr(layer, name)
        if name == "affine":
            now = now.affine_matrix
        if name == "units":
            same = tuple(map(str, now)) == tuple(map(str, value))
        else:
            same = np.shape(now) == np.shape(value) and bool(np.array_equal(now, value))
        if not same:
            setattr(layer, name, value)


def lies_on(layer: Layer, other: Layer) -> bool:
    """Whether two layers of the same axes have the same place in the world."""
    names = ("scale", "translate", "rotate", "shear")
    return (
        layer.ndim == other.ndim
        and all(np.allclose(getattr(layer, name), getattr(other, name)) for name in names)
        and np.allclose(layer.affine.affine_matrix, other.affine.affine_matrix)
    )


def _shear(layer: Layer) -> npt.NDArray[np.float64]:
    """Return a layer's shear as a matrix; napari gives only what is above the diagonal."""
    shear = np.asarray(layer.shear, dtype=float)
    if shear.ndim == 2:
        return shear
    matrix = np.eye(layer.ndim)
    matrix[np.triu_indices(layer.ndim, 1)] = shear
    return matrix


@contextmanager
def one_redraw(layer: Layer) -> Iterator[None]:
    """Let a layer announce all changes at the end, as one.

    napari slices, redraws and lists a layer anew for each single setting. The layers here lie
    within the image, so its extent is that of all; their thumbnails are made by the settings, and
    the layer list shows them when it hears of new data.
    """
    with layer.events.blocker_all():
        yield
    layer.refresh(thumbnail=False, highlight=False, extent=False)


class ClicksLayer:
    """The Points layer that holds the current object's clicks.

    A left click adds foreground, a right click or one with Shift adds background. Points may also
    be moved, deleted and pasted as in any Points layer; the feature ``positive`` tells which is
    which, and colour and symbol follow it.

    Parameters
    ----------
    image : Image
        The image below.
    layout : StackLayout
        Its axes.
    actions : object
        Has a method for every key (see `KEYS`), and `boxes`, which a drag draws.
    """

    def __init__(self, image: Image, layout: StackLayout, actions: Any) -> None:
        self.layer = Points(
            np.zeros((0, layout.ndim)),
            ndim=layout.ndim,
            name="Clicks",
            features={"positive": np.zeros(0, dtype=bool)},
            face_color=ADD_COLOUR,
            border_color=ADD_COLOUR,
            border_width=0,
            symbol=ADD_SYMBOL,
            size=LOOKS[True].size,
            canvas_size_limits=(12, 18),
            metadata={MARK: "clicks"},
            **transform_of(image, layout),
        )
        self.layer.feature_defaults = {"positive": [True]}
        self._mouse = [choose_polarity, actions.boxes.drag]
        self.layer.mouse_drag_callbacks[:0] = self._mouse
        for key in KEYS:
            method = getattr(actions, key.action)
            self.layer.bind_key(key.napari, _held(method) if key.hold else _pressed(method))
        self._quiet = False

    def follow(self, image: Image, layout: StackLayout) -> None:
        """Put the layer over the image again, after the image was moved."""
        set_transform(self.layer, transform_of(image, layout))

    def release(self) -> None:
        """Unbind keys and mouse, for when the layer outlives the widget."""
        for key in KEYS:
            self.layer.bind_key(key.napari, None)
        for callback in self._mouse:
            if callback in self.layer.mouse_drag_callbacks:
                self.layer.mouse_drag_callbacks.remove(callback)

    @property
    def quiet(self) -> bool:
        """Whether the widget itself is changing the points, so events aren't the user's."""
        return self._quiet

    def read(self) -> tuple[npt.NDArray[np.float64], list[bool]]:
        """Positions on the annotation axes, (n, ndim), and whether each is foreground."""
        data = np.array(self.layer.data, dtype=float)
        if "positive" in self.layer.features:
            # A value that was emptied in a table counts as foreground.
            values = self.layer.features["positive"].tolist()
            return data, [bool(value) if value == value else True for value in values]
        return data, [True] * len(data)

    def show(self, clicks: Sequence[Click], plane: Plane | None) -> None:
        """Replace the points by these clicks."""
        points = [plane.point(click.row, click.column) for click in clicks] if plane else []
        data = np.array(points, dtype=float).reshape(-1, self.layer.ndim)
        positive = [click.positive for click in clicks]
        layer = self.layer
        self._quiet = True
        try:
            self._deselect()
            if positive:  # what comes back looks right at once, as a rule
                set_polarity(layer, positive[-1])
            features = layer.features
            same = "positive" in features and features["positive"].tolist() == positive
            if not same or not np.array_equal(data, layer.data):
                with one_redraw(layer):
                    layer.data = data
                    layer.features = {"positive": positive}
                    self._style(positive)
                layer.events.features()
            else:
                self._style(positive)
        finally:
            self._quiet = False

    def deselect(self) -> None:
        """Unselect points that were just added; a selection made to move points stays."""
        if str(self.layer.mode) == "add":
            self._deselect()

    def _deselect(self) -> None:
        if self.layer.selected_data:  # setting it redraws, even if nothing changes
            self.layer.selected_data = set()

    def style(self, positive: Sequence[bool]) -> None:
        """Give every point the colour and symbol of its kind."""
        quiet, self._quiet = self._quiet, True
        try:
            self._style(positive)
        finally:
            self._quiet = quiet

    def _style(self, positive: Sequence[bool]) -> None:
        """Set what differs, as each setting redraws."""
        looks = [LOOKS[bool(p)] for p in positive]
        if not looks:
            return
        layer = self.layer
        symbols = [look.symbol for look in looks]
        sizes = [look.size for look in looks]
        if [str(symbol) for symbol in layer.symbol] != symbols:
            layer.symbol = symbols
        colours = [look.rgba for look in looks]
        if not np.allclose(layer.face_color, colours, atol=1e-3):
            layer.face_color = colours
        # A border of no width is drawn nevertheless, once a size on the canvas is the least one.
        if not np.allclose(layer.border_color, colours, atol=1e-3):
            layer.border_color = colours
        if list(layer.size) != sizes:
            layer.size = sizes


class PreviewLayer:
    """A small Labels layer, as large as the mask, that shows the current object.

    It is apart from the accepted labels, so no preview can ever damage them, and its cost follows
    the object's size, not the image's.
    """

    def __init__(self, image: Image, layout: StackLayout) -> None:
        self._layout = layout
        colours = {
            None: (0, 0, 0, 0),
            0: (0, 0, 0, 0),
            1: (*MASK_COLOUR, 0.32),
            2: (*MASK_COLOUR, 1.0),
        }
        self.layer = Labels(
            np.zeros((1,) * layout.ndim, dtype=np.uint8),
            name="Current object",
            colormap=DirectLabelColormap(color_dict=colours),
            opacity=1.0,
            metadata={MARK: "preview"},
            **transform_of(image, layout),
        )
        self.layer.editable = False
        self._empty = True

    def show(self, image: Image, plane: Plane, box: Sequence[int], picture: Any) -> None:
        """Show a picture (0 outside, 1 inside, 2 rim) of what lies in `box` of `plane`.

        Its pixels are `picture_step` pixels of the image wide.
        """
        axes = list(plane.axes)
        step = picture_step((box[2] - box[0], box[3] - box[1]))
        corner, steps = np.array(plane.index, dtype=float), np.ones(self._layout.ndim)
        # The middle of the picture's first pixel.
        corner[axes] = box[0] + (step - 1) / 2, box[1] + (step - 1) / 2
        steps[axes] = step
        shape = [1] * self._layout.ndim
        shape[plane.axes[0]], shape[plane.axes[1]] = picture.shape
        with one_redraw(self.layer):
            self._set(np.ascontiguousarray(picture, dtype=np.uint8).reshape(shape))
            self.place(image, corner, steps)
        self._empty = False

    def place(
        self,
        image: Image,
        corner: npt.NDArray[np.float64],
        steps: npt.NDArray[np.float64] | float = 1.0,
    ) -> None:
        """Put the layer's first pixel, `steps` wide, on `corner` of the annotation axes."""
        transform = transform_of(image, self._layout)
        transform.pop("units", None)
        translate = transform.pop("translate")
        transform["scale"] = transform["scale"] * steps
        set_transform(self.layer, transform)
        # With the image's translation instead of the present one the corner lies here.
        world = np.asarray(self.layer.data_to_world(corner / steps))
        place = self.layer.affine.inverse(world) - np.asarray(self.layer.translate) + translate
        set_transform(self.layer, {"translate": place})

    def follow(self, image: Image, layout: StackLayout) -> None:
        """Get ready for another image."""
        self._layout = layout
        self.clear()
        self.place(image, np.zeros(layout.ndim))

    def clear(self) -> None:
        """Show nothing."""
        if not self._empty:
            with one_redraw(self.layer):
                self._set(np.zeros((1,) * self._layout.ndim, dtype=np.uint8))
            self._empty = True

    def _set(self, data: npt.NDArray[np.uint8]) -> None:
        self.layer.data = data
        # New data make a layer editable again, for napari.
        self.layer.editable = False


def choose_polarity(layer: Points, event: Any) -> None:
    """Decide between foreground and background, before napari adds the point of a click."""
    if str(layer.mode) == "add":
        set_polarity(layer, not (event.button == 2 or "Shift" in event.modifiers))


def set_polarity(layer: Points, positive: bool) -> None:
    """Make the next point one of foreground or background, with its looks."""
    look, defaults = LOOKS[positive], layer.feature_defaults
    with layer.block_update_properties():  # selected points keep theirs
        if str(layer.current_symbol) != look.symbol:
            layer.current_symbol = look.symbol
        if str(layer.current_face_color).lower() != look.colour:
            layer.current_face_color = look.colour
            layer.current_border_color = look.colour
        if layer.current_size != look.size:
            layer.current_size = look.size
    if "positive" not in defaults or bool(defaults["positive"].iloc[0]) is not positive:
        layer.feature_defaults = {"positive": [positive]}


def _pressed(method: Callable[[], object]) -> Callable[[Points], None]:
    def on_key(_layer: Points) -> None:
        method()

    return on_key


def _held(method: Callable[[bool], object]) -> Callable[[Points], Iterator[None]]:
    def on_key(_layer: Points) -> Iterator[None]:
        method(True)
        yield
        method(False)

    return on_key
