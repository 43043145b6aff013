"""The planes of an image, one by one, and what they are called in outputs and click files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inter2former.batch._layout import Layout
from napari_inter2former.errors import ImageError
from napari_inter2former.images import RenderedImage, RenderingChoice, open_image

if TYPE_CHECKING:
    from pathlib import Path

    from napari_inter2former.everything import ObjectTable
    from napari_inter2former.images import ImageSource

__all__ = ["Planes", "join_tables"]

TIME, DEPTH = "t", "z"


class Planes:
    """The planes of an image on disk; nothing is read before it is asked for.

    Outputs know two axes besides rows and columns, time and depth. An axis of an image that says
    nothing about its axes counts as depth, a second one before it as time.

    Parameters
    ----------
    path : path
        See `napari_inter2former.images.open_image`.
    rendering : RenderingChoice, optional
        Channels and contrast.

    Attributes
    ----------
    plane_shape : tuple of int
        (height, width) in pixels.
    sizes : dict of str to int
        Length of the axes that number the planes, ``t`` and ``z``, in the image's order.

    Raises
    ------
    ImageError
        If the image can't be read, has more axes, or lacks a channel that is chosen.
    """

    def __init__(self, path: str | Path, rendering: RenderingChoice | None = None) -> None:
        self._image = open_image(path)
        self._rendered = RenderedImage(self._image, rendering or RenderingChoice())
        self.plane_shape = self._image.plane_shape
        stack = self._image.stack
        self._letters = _names(stack, self._image.name)
        self.sizes = {name: stack[letter] for letter, name in self._letters.items()}

    def __len__(self) -> int:
        return self._image.planes

    @property
    def layout(self) -> Layout:
        """Of labels of all planes."""
        known = self._image.spacing
        letters = {**self._letters, "y": "y", "x": "x"}
        return Layout(
            "".join(letters.values()),
            (*self.sizes.values(), *self.plane_shape),
            {name: known[letter] for letter, name in letters.items() if letter in known},
            coarser=tuple(
                tuple(int(level.shape[self._image.axes.index(letter)]) for letter in letters)
                for level in self._image.levels[1:]
            ),
            origin={name: self._image.origin.get(letter, 0) for letter, name in letters.items()},
        )

    def position(self, number: int) -> dict[str, int]:
        """Return where a plane lies on the axes that number planes; the last one counts fastest."""
        places = np.unravel_index(number, tuple(self.sizes.values())) if self.sizes else ()
        return {name: int(at) for name, at in zip(self.sizes, places, strict=True)}

    def describe(self, number: int) -> str:
        """Name a plane for a message; '' if there is only one."""
        return ", ".join(f"{name} {at}" for name, at in self.position(number).items())

    def source(self, number: int) -> ImageSource:
        """Return a plane for reading by windows."""
        at = self.position(number)
        return self._rendered.source({letter: at[name] for letter, name in self._letters.items()})

    def located(self, number: int, table: ObjectTable) -> ObjectTable:
        """Add to a table of one plane's objects which plane that is."""
        label = table["label"]
        where = {name: np.full(len(label), at) for name, at in self.position(number).items()}
        return {"label": label, **where, **table}


def join_tables(tables: list[ObjectTable]) -> ObjectTable:
    """Put tables with the same columns below each other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def _names(stack: dict[str, int], image: str) -> dict[str, str]:
    """Map the letters of an image's axes to those of outputs; those of length 1 may be left out."""
    free = [name for name in (DEPTH, TIME) if name not in stack]
    names: dict[str, Any] = {}
    for letter, size in reversed(stack.items()):
        if letter in (TIME, DEPTH):
            names[letter] = letter
        elif free and size > 1:
            names[letter] = free.pop(0)
        elif size > 1:
            counted = ", ".join(f"{axis}: {n}" for axis, n in stack.items())
            raise ImageError(
                f"The planes of {image} are numbered by {len(stack)} axes ({counted}); labels have "
                "two, time and depth. Split it into files, one for each position on the others."
            )
    return {letter: names[letter] for letter in stack if letter in names}
