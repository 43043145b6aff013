"""The two lines under the buttons: what happened, and what to do next."""

from __future__ import annotations

__all__ = ["Status"]


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


def _pixels(count: int) -> str:
    return "1 pixel" if count == 1 else f"{count:,} pixels"
