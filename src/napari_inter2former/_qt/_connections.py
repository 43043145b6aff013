"""Event connections that can all be undone at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Connections"]


class Connections:
    """Remember what was connected, per owner, and disconnect it."""

    def __init__(self) -> None:
        self._made: list[tuple[object, Any, Callable[..., object]]] = []

    def __len__(self) -> int:
        """Count the connections."""
        return len(self._made)

    def add(self, owner: object, events: Any, names: str, callback: Callable[..., object]) -> None:
        """Connect `callback` to the events called `names` (separated by spaces), where they exist.

        `owner` is what the events belong to; see `drop`.
        """
        for name in names.split():
            emitter = getattr(events, name, None)
            if emitter is not None:
                emitter.connect(callback)
                self._made.append((owner, emitter, callback))

    def drop(self, owner: object) -> None:
        """Disconnect everything of one owner."""
        kept = []
        for made in self._made:
            if made[0] is owner:
                made[1].disconnect(made[2])
            else:
                kept.append(made)
        self._made = kept

    def clear(self) -> None:
        """Disconnect everything."""
        for _, emitter, callback in self._made:
            emitter.disconnect(callback)
        self._made.clear()
