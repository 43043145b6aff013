"""The keys, in one place: what they do, how napari names them, what a button shows."""

from __future__ import annotations

import sys
from dataclasses import dataclass

__all__ = ["KEYS", "Key"]

_MAC = sys.platform == "darwin"
_CONTROL = "⌘" if _MAC else "Ctrl+"
_SHIFT = "⇧" if _MAC else "Shift+"
# What Mac keyboards call delete is Backspace to Qt.
_DELETE = ("Backspace", "⌫") if _MAC else ("Delete", "Del")


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes
    ----------
    action : str
        The controller's method.
    napari : str
        The key in napari's notation: Qt's names, after those of held keys.
    shown : str
        The key as a button shows it.
    hold : bool
        Whether the action lasts as long as the key is held.
    """

    action: str
    napari: str
    shown: str
    hold: bool = False


# Bound on the clicks layer only: the active layer wins over every other binding, and of the Points
# layer's own keys only the delete key is among these, which still deletes points that are selected.
KEYS = (
    Key("accept", "Enter", "Enter"),
    Key("discard", "Escape", "Esc"),
    Key("undo", "Control-Z", f"{_CONTROL}Z"),
    Key("redo", "Control-Shift-Z", f"{_CONTROL}{_SHIFT}Z"),
    Key("reopen", "G", "G"),
    Key("remove", *_DELETE),
    Key("hide", "H", "hold H", hold=True),
    Key("toggle_boxes", "W", "W"),
)
