"""The words of the widget: what happened, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_inter2former._qt._scene import Scene
    from napari_inter2former.annotation.objects import State

__all__ = ["Status", "todo"]


class Status:
    """What the widget tells the user.

    Attributes
    ----------
    happened : str
        The last event, or ''.
    kind : str
        "info", "warning" or "error", of `happened`.
    todo : str
        What the user can do now.
    """

    def __init__(self) -> None:
        self.happened = ""
        self.kind = "info"
        self.todo = ""

    def info(self, text: str) -> None:
        """Tell what happened."""
        self.happened, self.kind = text, "info"

    def warn(self, text: str) -> None:
        """Tell that something wasn't done, and what to do."""
        self.happened, self.kind = text, "warning"

    def error(self, text: str) -> None:
        """Tell that something can't work, and what to do."""
        self.happened, self.kind = text, "error"

    def clear(self) -> None:
        """Say nothing about the past."""
        self.info("")

    def accepted(self, number: int, area: int, left_alone: int) -> None:
        """Tell about a new object."""
        text = f"Object {number} is kept: {_pixels(area)}."
        if left_alone:
            text += f" {_pixels(left_alone)} of other objects left alone."
        self.info(text)


def todo(scene: Scene, state: State, model_ready: bool, boxes: bool) -> str:
    """Say what the user can do now."""
    if scene.image is None:
        return "Open an image: drop a file here, or File ▸ Open Sample ▸ Inter2Former."
    if scene.layout is None:
        return "Choose another image."
    why = scene.why_no_plane()
    if why:
        return why
    if not scene.clicking:
        return "Press 'Click objects' to go on."
    if state.clicks and state.mask is None:
        what = "image" if model_ready else "model"
        return f"Your click is taken: its mask comes when the {what} is ready."
    if state.clicks:
        return "Correct the mask with more clicks, or press Enter to keep it."
    return "Drag a box round an object, or click it." if boxes else "Click an object."


def _pixels(count: int) -> str:
    return "1 pixel" if count == 1 else f"{count:,} pixels"
